// Text of runs made safe inside a page.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace switchyard {

/// For text and quoted attributes: & < > " ' become character references.
std::string escape_html(std::string_view text);

/// JSON in ASCII that holds no < > & and so cannot end the script element it stands in. NaN and
/// infinity become null, bytes that are no UTF-8 become U+FFFD.
std::string script_json(const nlohmann::ordered_json& value);

}  // namespace switchyard
