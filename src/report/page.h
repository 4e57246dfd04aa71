// The page: one HTML file that needs nothing else.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "report/comparison.h"

namespace switchyard {

/// `version` of the program and `time` are told at the foot of the page.
std::string make_page(const std::vector<RunData>& runs, const Comparison& comparison,
                      const std::string& version, const std::string& time);

/// `text` with each {{name}} replaced by its part; what the parts hold is not looked at again.
/// A name without a part is a bug (std::out_of_range).
std::string fill_template(std::string_view text, const std::map<std::string, std::string>& parts);

}  // namespace switchyard
