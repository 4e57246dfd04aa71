#include "text/utf8.h"

#include <cstdint>
#include <cstring>

namespace switchyard {
namespace {

bool is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/// Length of the character that starts at `at` (Unicode 15, table 3-7), or 0 if it is unsound.
size_t character_length(const uint8_t* at, size_t left) {
  const uint8_t lead = at[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (left < length) return 0;
  uint8_t low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  if (at[1] < low || at[1] > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (!is_continuation(at[i])) return 0;
  }
  return length;
}

}  // namespace

size_t find_invalid_utf8(std::string_view text, size_t from) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  for (size_t at = from; at < text.size();) {
    uint64_t word = 0;
    if (at + sizeof word <= text.size()) {
      std::memcpy(&word, bytes + at, sizeof word);
      if ((word & 0x8080808080808080u) == 0) {
        at += sizeof word;
        continue;
      }
    }
    const size_t length = character_length(bytes + at, text.size() - at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string mended;
  mended.reserve(text.size());
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t bad = find_invalid_utf8(text, begin);
    mended += text.substr(begin, bad == std::string_view::npos ? bad : bad - begin);
    if (bad == std::string_view::npos) break;
    mended += "\uFFFD";
    begin = bad + 1;
  }
  return mended;
}

size_t character_border(std::string_view text, size_t limit) {
  for (size_t at = limit; at + 4 > limit && at > 0; --at) {
    if (at == text.size() || !is_continuation(static_cast<uint8_t>(text[at]))) return at;
  }
  return limit;
}

size_t part_border(std::string_view text, size_t limit) {
  for (size_t at = limit; at > limit / 2; --at) {
    if (is_space(text[at - 1])) return at;
  }
  return character_border(text, limit);
}

std::string_view trim(std::string_view text) {
  size_t begin = 0, end = text.size();
  while (begin < end && is_space(text[begin])) ++begin;
  while (end > begin && is_space(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

}  // namespace switchyard
