#include "serve/completion_answer.h"

#include <algorithm>
#include <numeric>

#include "base/format.h"

namespace switchyard {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStart = "<start>";  // what the decoder reads first

std::string token_text(const AnswerContext& context, int64_t id) {
  if (!context.tokenizer) return format("{}", id);
  if (id >= context.tokenizer->vocab_size()) return format("<{}>", id);  // a row without a piece
  return context.tokenizer->piece(static_cast<int32_t>(id));
}

Json pieces(const AnswerContext& context, const std::vector<int32_t>& ids) {
  Json list = Json::array();
  for (const int32_t id : ids) list.push_back(token_text(context, id));
  return list;
}

}  // namespace

void LogProbs::add(const AnswerContext& context, int64_t id, std::span<const float> log_p,
                   int64_t alternatives, size_t text_offset) {
  tokens_.push_back(token_text(context, id));
  log_probs_.push_back(log_p[static_cast<size_t>(id)]);
  offsets_.push_back(text_offset);
  std::vector<int64_t> best(log_p.size());
  std::iota(best.begin(), best.end(), int64_t{0});
  const auto count = std::min<size_t>(static_cast<size_t>(alternatives), best.size());
  std::partial_sort(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(count), best.end(),
                    [&](int64_t a, int64_t b) {
                      const float p = log_p[static_cast<size_t>(a)];
                      const float q = log_p[static_cast<size_t>(b)];
                      return p > q || (p == q && a < b);
                    });
  Json top = Json::object();
  for (size_t i = 0; i < count; ++i) {
    top[token_text(context, best[i])] = log_p[static_cast<size_t>(best[i])];
  }
  top_.push_back(std::move(top));
}

Json LogProbs::take() {
  Json taken = {{"tokens", std::move(tokens_)},
                {"token_logprobs", std::move(log_probs_)},
                {"top_logprobs", std::move(top_)},
                {"text_offset", std::move(offsets_)}};
  *this = {};
  return taken;
}

Json choice_json(int64_t index, std::string text, Json log_probs, const char* finish_reason) {
  Json choice = {{"index", index}, {"text", std::move(text)}, {"logprobs", std::move(log_probs)}};
  choice["finish_reason"] = finish_reason ? Json(finish_reason) : Json();
  return choice;
}

Json answer_json(const AnswerContext& context, const std::string& id, int64_t created,
                 Json choices) {
  return {{"id", id},
          {"object", "text_completion"},
          {"created", created},
          {"model", context.model},
          {"choices", std::move(choices)}};
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json routing_json(const AnswerContext& context, const RoutingTrace& trace,
                  const std::vector<int32_t>& input, const std::vector<int32_t>& output) {
  Json output_pieces = pieces(context, output);
  output_pieces.insert(output_pieces.begin(), kStart);
  Json layers = Json::array();
  for (const std::string& name : context.layers) {
    const bool encoder = name.starts_with("encoder");
    const size_t tokens = encoder ? input.size() : output_pieces.size();
    layers.push_back({{"name", name},
                      {"of", encoder ? "input" : "output"},
                      {"tokens", std::vector<Json>(tokens, Json::array())}});
  }
  for (const TokenRoute& route : trace) {
    Json& tokens = layers[static_cast<size_t>(route.layer)]["tokens"];
    const auto position = static_cast<size_t>(route.position);
    if (position >= tokens.size()) continue;  // read, but behind the output's end
    Json one = {{"expert", route.expert}, {"gate", route.gate}};
    if (route.dropped) one["dropped"] = true;
    tokens[position].push_back(std::move(one));
  }
  return {{"num_experts", context.num_experts},
          {"input_tokens", pieces(context, input)},
          {"output_tokens", std::move(output_pieces)},
          {"layers", std::move(layers)}};
}

std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace switchyard
