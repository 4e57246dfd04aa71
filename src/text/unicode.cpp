#include "text/unicode.h"

#include <utf8proc.h>

#include "text/utf8.h"

namespace switchyard {
namespace {

utf8proc_category_t category_of(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

constexpr char32_t kCapitalSigma = U'Σ', kSmallSigma = U'σ', kFinalSigma = U'ς';
constexpr char32_t kCapitalDottedI = U'\u0130';

/// Letters with case, for the rule of the final sigma (Unicode 15, table 3-17).
bool is_cased(char32_t c) {
  const auto category = category_of(c);
  const auto code = static_cast<utf8proc_int32_t>(c);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT || utf8proc_islower(code) || utf8proc_isupper(code) ||
         c == U'\u00AA' || c == U'\u00BA';
}

/// What that rule passes over: marks, formats, modifiers, and punctuation within words.
bool is_case_ignorable(char32_t c) {
  switch (category_of(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      constexpr std::u32string_view kWithinWords =
          U"'.:"
          U"\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A";
      return kWithinWords.find(c) != kWithinWords.npos;
  }
}

bool is_final_sigma(std::u32string_view text, size_t at) {
  size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::string mended;
  if (find_invalid_utf8(text) != std::string_view::npos) {
    mended = replace_invalid_utf8(text);
    text = mended;
  }
  std::u32string decoded;
  decoded.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t character = 0;
    at += static_cast<size_t>(
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                         static_cast<utf8proc_ssize_t>(text.size() - at), &character));
    decoded += static_cast<char32_t>(character);
  }
  return decoded;
}

std::string encode_utf8(std::u32string_view text) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char32_t character : text) {
    utf8proc_uint8_t bytes[4];
    const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
    encoded.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
  return encoded;
}

CharacterClass character_class(char32_t character) {
  const auto category = category_of(character);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) {
    return CharacterClass::kLetter;
  }
  if (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME) {
    return CharacterClass::kMark;
  }
  if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) {
    return CharacterClass::kNumber;
  }
  if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO) {
    return CharacterClass::kPunctuation;
  }
  if (category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO) {
    return CharacterClass::kSymbol;
  }
  return CharacterClass::kOther;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_word_character(char32_t character) {
  const CharacterClass kind = character_class(character);
  return kind == CharacterClass::kLetter || kind == CharacterClass::kNumber || character == U'_';
}

std::u32string to_lower(std::u32string_view text) {
  std::u32string lower;
  lower.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == kCapitalSigma) {
      lower += is_final_sigma(text, i) ? kFinalSigma : kSmallSigma;
    } else if (text[i] == kCapitalDottedI) {
      lower += U"i\u0307";
    } else {
      lower += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(text[i])));
    }
  }
  return lower;
}

std::vector<std::u32string_view> split_white_space(std::u32string_view text) {
  std::vector<std::u32string_view> words;
  for (size_t at = 0; at < text.size();) {
    if (is_white_space(text[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < text.size() && !is_white_space(text[end])) ++end;
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

std::u32string single_spaced(std::u32string_view text) {
  std::u32string joined;
  for (const std::u32string_view word : split_white_space(text)) {
    if (!joined.empty()) joined += U' ';
    joined += word;
  }
  return joined;
}

}  // namespace switchyard
