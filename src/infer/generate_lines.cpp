#include "infer/generate_lines.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "infer/fill_sentinels.h"

namespace switchyard {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExpected = R"(write {"input_ids": [13, 7, 1]} or {"input": "text"})";
constexpr int kMaxDepth = 256;  // printing nested values takes stack

Json parse_object(std::string_view line, const std::string& where) {
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) throw usage_error("JSON is nested too deeply", where);
    return true;
  };
  Json object;
  try {
    object = Json::parse(line, limit_depth);
  } catch (const Json::parse_error& error) {
    throw usage_error(format("not JSON: it goes wrong at byte {}", error.byte), where, kExpected);
  } catch (const Json::exception&) {
    throw usage_error("not JSON: a number out of range", where, kExpected);
  }
  if (!object.is_object()) throw usage_error("not a JSON object", where, kExpected);
  return object;
}

std::vector<int32_t> parse_ids(const Json& list, int64_t vocab_size, const std::string& where) {
  if (!list.is_array()) throw usage_error("not a list of ids", where, kExpected);
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      throw usage_error("an id is not an integer", format("{}[{}]", where, ids.size()), kExpected);
    }
    // Beyond int64 only unsigned numbers go.
    const bool huge = id.is_number_unsigned() && id.get<uint64_t>() > INT32_MAX;
    if (huge || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size) {
      throw usage_error(format("id {} is outside the vocabulary", id.dump()),
                        format("{}[{}]", where, ids.size()),
                        format("the model has ids 0 to {}", vocab_size - 1));
    }
    ids.push_back(id.get<int32_t>());
  }
  if (std::all_of(ids.begin(), ids.end(), [](int32_t id) { return id == kPadId; })) {
    throw usage_error("no ids, or only padding", where, "give at least one id that is not 0");
  }
  return ids;
}

Json answer(const GenerateRequest& request, const Generation& generation,
            const Tokenizer* tokenizer, const AnswerOptions& options) {
  Json object = {{"output_ids", generation.ids}};
  if (tokenizer) object["output"] = tokenizer->decode(generation.ids);
  if (tokenizer && options.fill) {
    object["filled"] = filled_text(*tokenizer, request.input_ids, generation);
  }
  object["log_prob"] = generation.log_prob;
  if (options.score) object["score"] = generation.score;
  if (options.token_log_probs) object["token_log_probs"] = generation.token_log_probs;
  return object;
}

}  // namespace

std::vector<int32_t> encode_input(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids = tokenizer.encode(text);
  ids.push_back(kEosId);
  return ids;
}

GenerateRequest parse_generate_line(std::string_view line, const Tokenizer* tokenizer,
                                    int64_t vocab_size, const std::string& file,
                                    uint64_t line_number) {
  const std::string where = format("{}, line {}", file, line_number);
  GenerateRequest request{parse_object(line, where), {}, line_number};
  const bool has_ids = request.object.contains("input_ids");
  const bool has_text = request.object.contains("input");
  if (has_ids && has_text) {
    throw usage_error("both `input_ids` and `input` are given", where, "leave one of them out");
  }
  if (!has_ids && !has_text) {
    throw usage_error("neither `input_ids` nor `input` is given", where, kExpected);
  }
  if (has_ids) {
    request.input_ids =
        parse_ids(request.object["input_ids"], vocab_size, where + ", key input_ids");
    return request;
  }
  const std::string key = where + ", key input";
  const Json& text = request.object["input"];
  if (!text.is_string()) throw usage_error("not a text", key, kExpected);
  if (!tokenizer) {
    throw usage_error("the model directory has no spiece.model to read text with", key,
                      "give `input_ids` instead");
  }
  request.input_ids = encode_input(*tokenizer, text.get_ref<const std::string&>());
  if (request.input_ids.size() == 1) throw usage_error("the text is empty", key);
  return request;
}

std::string answer_line(const GenerateRequest& request, const std::vector<Generation>& generations,
                        const Tokenizer* tokenizer, const AnswerOptions& options) {
  Json object = request.object;
  object.update(answer(request, generations.front(), tokenizer, options));
  if (options.n_best) {
    Json list = Json::array();
    for (const Generation& generation : generations) {
      list.push_back(answer(request, generation, tokenizer, options));
    }
    object["outputs"] = std::move(list);
  }
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string filled_text(const Tokenizer& tokenizer, const std::vector<int32_t>& input_ids,
                        const Generation& generation) {
  const int32_t first_sentinel = tokenizer.sentinel_id(kNumSentinels - 1);
  return tokenizer.decode(fill_sentinels(input_ids, generation.ids, first_sentinel));
}

}  // namespace switchyard
