// Lines of text as they come, for the subcommands that answer line by line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace switchyard {

/// Calls `use` with each line of a file, or of standard input for "-", without its end.
void for_each_line(const std::string& path, const std::function<void(std::string_view)>& use);

}  // namespace switchyard
