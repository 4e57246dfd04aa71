// The fields of a JSON request: each is read by a function of its own, a name that none of them has
// is a mistake. Failures are Error(kUsage) with the field in where_part().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "serve/limits.h"
#include "text/tokenizer.h"

namespace switchyard {

/// where_part() of failures that lie in no field.
constexpr const char* kRequestBody = "the body";

using FieldReaders = std::map<std::string, std::function<void(const nlohmann::json&)>>;

/// Parses an object and hands each field to its reader. A null counts as a field left out.
void read_fields(std::string_view body, const FieldReaders& readers);

bool read_bool(const nlohmann::json& value, const std::string& field);
int64_t read_integer(const nlohmann::json& value, const std::string& field, int64_t lowest,
                     int64_t highest);
double read_number(const nlohmann::json& value, const std::string& field, double lowest,
                   double highest);
std::string read_text(const nlohmann::json& value, const std::string& field);

/// An input or target as given: text, to which EOS is added, or ids from `lowest_id` on, taken as
/// they are, at least one of them not 0. `tokenizer` may be null.
std::vector<int32_t> read_tokens(const nlohmann::json& value, const std::string& field,
                                 const Tokenizer* tokenizer, const RequestLimits& limits,
                                 int32_t lowest_id);

/// `tokenizer`, or Error if it is null.
const Tokenizer& need_tokenizer(const Tokenizer* tokenizer, const std::string& field);

}  // namespace switchyard
