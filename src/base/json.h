// JSON from outside: parsed within limits, failures told as Error with the byte at which they lie.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace switchyard {

/// Deepest nesting that any file of ours or Hugging Face's needs, with room to spare.
constexpr int kMaxJsonDepth = 32;

/// Parses `text`: valid UTF-8, at most kMaxJsonDepth levels, no key twice in an object. Throws
/// Error(kind) naming `where` (a file, or file and line) and the offset. Json: nlohmann::json, or
/// nlohmann::ordered_json, which keeps the order of keys.
template <class Json = nlohmann::json>
Json parse_json(std::string_view text, const std::string& where,
                ErrorKind kind = ErrorKind::kDamaged);

}  // namespace switchyard
