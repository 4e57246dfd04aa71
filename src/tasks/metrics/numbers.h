// Numbers in answers. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

/// The number behind the last "####", else the last one of the text, without commas and zeros
/// behind the point: "1234.5" of "about 1,234.50." Empty where there is none.
std::string final_number(std::string_view text);

/// The text as a number; -1 where it is none or not finite (T5 has -1 for what is none).
double number_of(std::string_view text);

}  // namespace switchyard
