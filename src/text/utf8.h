// Finding and mending bytes that are not UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace switchyard {

/// Offset of the first byte at or after `from` that is not part of sound UTF-8 (overlong forms and
/// surrogates are unsound), or npos.
size_t find_invalid_utf8(std::string_view text, size_t from = 0);

/// `text` with every unsound byte replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

/// The largest cut <= `limit` that splits no character; `limit` itself if the bytes there are
/// unsound. limit <= text.size().
size_t character_border(std::string_view text, size_t limit);

/// Where to end a part of at most `limit` bytes, limit < text.size(): after white space in its
/// second half if there is some, else at a character border.
size_t part_border(std::string_view text, size_t limit);

/// ASCII white space.
inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Without white space (ASCII) at both ends.
std::string_view trim(std::string_view text);

}  // namespace switchyard
