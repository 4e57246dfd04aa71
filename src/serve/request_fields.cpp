#include "serve/request_fields.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "infer/generate_lines.h"

namespace switchyard {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxBytesPerToken = 64;  // of a text that is worth encoding to see its length

Error unknown_field(const std::string& name, const FieldReaders& readers) {
  std::vector<std::string> known;
  for (const auto& [key, reader] : readers) known.push_back(key);
  const std::string near = nearest_name(name, known);
  return usage_error("there is no such field", name,
                     near.empty() ? "" : format("did you mean `{}`?", near));
}

void check_length(size_t count, const std::string& field, const RequestLimits& limits) {
  if (static_cast<int64_t>(count) <= limits.input_tokens) return;
  throw usage_error(format("{} tokens, and the server takes {}", count, limits.input_tokens), field,
                    "shorten it");
}

std::vector<int32_t> read_ids(const Json& list, const std::string& field,
                              const RequestLimits& limits, int32_t lowest_id) {
  check_length(list.size(), field, limits);
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    ids.push_back(static_cast<int32_t>(
        read_integer(id, format("{}[{}]", field, ids.size()), lowest_id, limits.vocab_size - 1)));
  }
  if (std::all_of(ids.begin(), ids.end(), [](int32_t id) { return id == kPadId; })) {
    throw usage_error("no ids, or only padding", field, "give at least one id that is not 0");
  }
  return ids;
}

}  // namespace

void read_fields(std::string_view body, const FieldReaders& readers) {
  const Json object = parse_json(body, kRequestBody, ErrorKind::kUsage);
  if (!object.is_object()) throw usage_error("not a JSON object", kRequestBody);
  for (const auto& [name, value] : object.items()) {
    const auto reader = readers.find(name);
    if (reader == readers.end()) throw unknown_field(name.substr(0, 80), readers);
    if (!value.is_null()) reader->second(value);
  }
}

bool read_bool(const Json& value, const std::string& field) {
  if (!value.is_boolean()) throw usage_error("neither true nor false", field);
  return value.get<bool>();
}

int64_t read_integer(const Json& value, const std::string& field, int64_t lowest, int64_t highest) {
  const std::string range = format("give {} to {}", lowest, highest);
  if (!value.is_number_integer()) throw usage_error("not an integer", field, range);
  // Beyond int64 only unsigned numbers go.
  const bool huge = value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX;
  if (huge || value.get<int64_t>() < lowest || value.get<int64_t>() > highest) {
    throw usage_error(format("{} is out of range", value.dump()), field, range);
  }
  return value.get<int64_t>();
}

double read_number(const Json& value, const std::string& field, double lowest, double highest) {
  const std::string range = format("give {} to {}", lowest, highest);
  if (!value.is_number()) throw usage_error("not a number", field, range);
  const auto number = value.get<double>();
  if (!(number >= lowest && number <= highest)) {
    throw usage_error(format("{} is out of range", value.dump()), field, range);
  }
  return number;
}

std::string read_text(const Json& value, const std::string& field) {
  if (!value.is_string()) throw usage_error("not a text", field);
  return value.get<std::string>();
}

const Tokenizer& need_tokenizer(const Tokenizer* tokenizer, const std::string& field) {
  if (tokenizer) return *tokenizer;
  throw usage_error("text, but the model has no tokenizer", field, "give token ids");
}

std::vector<int32_t> read_tokens(const Json& value, const std::string& field,
                                 const Tokenizer* tokenizer, const RequestLimits& limits,
                                 int32_t lowest_id) {
  if (value.is_array()) return read_ids(value, field, limits, lowest_id);
  if (!value.is_string()) throw usage_error("neither a text nor a list of token ids", field);
  const Tokenizer& text_tokenizer = need_tokenizer(tokenizer, field);
  const auto& text = value.get_ref<const std::string&>();
  check_length(text.size() / kMaxBytesPerToken, field, limits);
  std::vector<int32_t> ids = encode_input(text_tokenizer, text);
  if (ids.size() == 1) throw usage_error("the text is empty", field);
  check_length(ids.size(), field, limits);
  return ids;
}

}  // namespace switchyard
