// The JSON of an answer to POST /v1/completions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "infer/engine/routing_trace.h"
#include "text/tokenizer.h"

namespace switchyard {

/// What all answers of a server have in common.
struct AnswerContext {
  std::string model;                     // its name
  const Tokenizer* tokenizer = nullptr;  // may stay so
  std::vector<std::string> layers;       // routed ones, as InferenceModel::expert_use() orders them
  int64_t num_experts = 0;
};

/// Log-probabilities of the ids of an output, as they are written.
class LogProbs {
 public:
  /// `text_offset`: characters of the output before the id's own.
  void add(const AnswerContext& context, int64_t id, std::span<const float> log_p,
           int64_t alternatives, size_t text_offset);
  /// What was added since the last call, as OpenAI's completions have it.
  nlohmann::ordered_json take();

 private:
  nlohmann::ordered_json tokens_ = nlohmann::ordered_json::array();
  nlohmann::ordered_json log_probs_ = nlohmann::ordered_json::array();
  nlohmann::ordered_json top_ = nlohmann::ordered_json::array();
  nlohmann::ordered_json offsets_ = nlohmann::ordered_json::array();
};

struct Usage {
  int64_t prompt_tokens = 0, completion_tokens = 0;
};

/// One choice, whole or a part of it; `finish_reason` is null until it has one.
nlohmann::ordered_json choice_json(int64_t index, std::string text,
                                   nlohmann::ordered_json log_probs, const char* finish_reason);

/// {"id", "object", "created", "model", "choices"}
nlohmann::ordered_json answer_json(const AnswerContext& context, const std::string& id,
                                   int64_t created, nlohmann::ordered_json choices);

nlohmann::ordered_json usage_json(const Usage& usage);

/// Where the tokens of an input and an output went: the pieces, and per layer and token the experts
/// with their gates. `output`: ids as the decoder read them, without the start id.
nlohmann::ordered_json routing_json(const AnswerContext& context, const RoutingTrace& trace,
                                    const std::vector<int32_t>& input,
                                    const std::vector<int32_t>& output);

std::string json_text(const nlohmann::ordered_json& json);

}  // namespace switchyard
