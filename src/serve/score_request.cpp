#include "serve/score_request.h"

#include "base/error.h"
#include "serve/request_fields.h"

namespace switchyard {
namespace {

using Json = nlohmann::json;

/// Reads `name` (text) or `name`_ids into `ids`.
FieldReaders token_fields(const std::string& name, std::vector<int32_t>& ids,
                          const Tokenizer* tokenizer, const RequestLimits& limits) {
  const auto read = [&ids, tokenizer, &limits](const Json& value, const std::string& field) {
    if (!ids.empty()) throw usage_error("given as text and as ids", field, "leave one of them out");
    ids = read_tokens(value, field, tokenizer, limits, 1);
  };
  return {{name,
           [read, name](const Json& value) {
             read_text(value, name);
             read(value, name);
           }},
          {name + "_ids", [read, name](const Json& value) {
             if (!value.is_array()) throw usage_error("not a list of token ids", name + "_ids");
             read(value, name + "_ids");
           }}};
}

}  // namespace

ScoreBody parse_score_request(std::string_view body, const Tokenizer* tokenizer,
                              const RequestLimits& limits) {
  ScoreBody read;
  FieldReaders readers = token_fields("input", read.request.input, tokenizer, limits);
  readers.merge(token_fields("target", read.request.target, tokenizer, limits));
  readers["model"] = [&](const Json& value) { read.model = read_text(value, "model"); };
  read_fields(body, readers);
  for (const auto& [name, ids] :
       {std::pair("input", &read.request.input), {"target", &read.request.target}}) {
    if (ids->empty()) throw usage_error("missing", name, "give a text, or token ids");
  }
  return read;
}

}  // namespace switchyard
