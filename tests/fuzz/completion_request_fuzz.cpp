// The bodies of POST /v1/completions and /v1/score: what is accepted keeps to the limits.
#include <algorithm>
#include <variant>

#include "serve/completion_request.h"
#include "serve/score_request.h"
#include "tests/fuzz/target.h"

namespace switchyard {
namespace {

const RequestLimits kLimits = {
    .vocab_size = 1000, .input_tokens = 12, .output_tokens = 100, .choices = 8};

void check_ids(const std::vector<int32_t>& ids, int32_t lowest) {
  fuzz::require(static_cast<int64_t>(ids.size()) <= kLimits.input_tokens, "too many ids");
  for (const int32_t id : ids) {
    fuzz::require(id >= lowest && id < kLimits.vocab_size, "an id is outside the vocabulary");
  }
}

void check_input(const std::vector<int32_t>& ids) {
  check_ids(ids, 0);
  fuzz::require(std::any_of(ids.begin(), ids.end(), [](int32_t id) { return id != 0; }),
                "nothing but padding");
}

void check_sound(const CompletionRequest& request) {
  fuzz::require(!request.inputs.empty(), "no input");
  for (const auto& input : request.inputs) check_input(input);
  check_ids(request.output.prefix, 0);
  fuzz::require(request.num_outputs >= 1 && request.num_choices() <= kLimits.choices,
                "number of choices");
  fuzz::require(request.max_new_tokens >= 1 && request.max_new_tokens <= kLimits.output_tokens,
                "max_tokens");
  fuzz::require(request.output.repetition_penalty > 0, "repetition_penalty");
  fuzz::require(request.output.no_repeat_ngram >= 0, "no_repeat_ngram");
  if (!request.sample) {
    fuzz::require(request.num_outputs == 1, "several greedy outputs");
    return;
  }
  const SamplingOptions& sample = *request.sample;
  fuzz::require(sample.temperature > 0 && sample.top_k >= 0, "temperature or top_k");
  fuzz::require(sample.top_p >= 0 && sample.top_p <= 1, "top_p");
  fuzz::require(sample.min_p >= 0 && sample.min_p <= 1, "min_p");
}

void check_sound(const ScoreBody& body) {
  check_ids(body.request.input, 1);
  check_ids(body.request.target, 1);
  fuzz::require(!body.request.input.empty() && !body.request.target.empty(), "nothing to score");
}

using Parsed = std::variant<CompletionRequest, ScoreBody>;

/// Bodies that speak of a target are scores.
Parsed parse(std::string_view body) {
  if (body.find("target") == std::string_view::npos) {
    return parse_completion_request(body, nullptr, kLimits);
  }
  return parse_score_request(body, nullptr, kLimits);
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  return fuzz::run([&] { return parse(fuzz::text_of(data, size)); },
                   [](const Parsed& parsed) {
                     std::visit([](const auto& request) { check_sound(request); }, parsed);
                   });
}
