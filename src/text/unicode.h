// Code points, their classes and lower case, by utf8proc (Unicode 15), with the meanings that
// Python's str has: what measures text in papers is written in Python. All functions are
// thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// Code points of UTF-8; every unsound byte becomes U+FFFD.
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);

enum class CharacterClass { kLetter, kMark, kNumber, kPunctuation, kSymbol, kOther };
/// By the first letter of the general category; separators and controls are kOther.
CharacterClass character_class(char32_t character);

/// As str.isspace(), which str.split() uses.
bool is_white_space(char32_t character);
/// What \w means in `re`: a letter, a number or an underscore. Marks are none.
bool is_word_character(char32_t character);

/// As str.lower(): full mapping, with the final form of sigma.
std::u32string to_lower(std::u32string_view text);

/// As str.split().
std::vector<std::u32string_view> split_white_space(std::u32string_view text);
/// The words of the text with one space between them: " ".join(text.split()).
std::u32string single_spaced(std::u32string_view text);

}  // namespace switchyard
