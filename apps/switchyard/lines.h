// Lines in, lines out: input of commands that work line by line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace switchyard {

/// Calls `use` with each line of a file (gzip and zstandard are recognised) or, for "-", of
/// standard input, without its end. Throws Error(kUsage) if it cannot be opened.
void for_each_line(const std::string& path, const std::function<void(std::string_view)>& use);

/// One line on standard output. Throws Error if it cannot be written.
void print_line(const std::string& text);

}  // namespace switchyard
