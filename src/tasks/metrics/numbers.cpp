#include "tasks/metrics/numbers.h"

#include <charconv>
#include <cmath>

#include "text/utf8.h"

namespace switchyard {

std::string final_number(std::string_view text) {
  if (const size_t mark = text.rfind("####"); mark != text.npos) text.remove_prefix(mark);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_part = [&](char c) { return is_digit(c) || c == ',' || c == '.'; };
  size_t end = text.size();
  while (end > 0 && !is_digit(text[end - 1])) --end;
  size_t begin = end;
  while (begin > 0 && is_part(text[begin - 1])) --begin;
  // Of dots before the first digit the last one may be its point, if it stands alone.
  size_t first = begin;
  while (first < end && !is_digit(text[first])) ++first;
  begin = first - begin == 1 && text[begin] == '.' ? begin : first;
  std::string number;
  for (const char c : text.substr(begin, end - begin)) {
    if (c != ',') number += c;
  }
  if (number.find('.') != number.npos) {
    while (number.back() == '0') number.pop_back();
    if (number.back() == '.') number.pop_back();
  }
  if (number.starts_with('.')) number.insert(0, "0");
  // Behind a digit it is a minus between two numbers.
  const bool negative = !number.empty() && begin > 0 && text[begin - 1] == '-' &&
                        (begin < 2 || !is_digit(text[begin - 2]));
  return negative ? "-" + number : number;
}

double number_of(std::string_view text) {
  constexpr double kNoNumber = -1;
  text = trim(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && std::isfinite(number) ? number : kNoNumber;
}

}  // namespace switchyard
