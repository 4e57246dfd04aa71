// The body of POST /v1/completions (docs/serving.md has the list of fields).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "infer/output_options.h"
#include "infer/sampling.h"
#include "serve/limits.h"
#include "text/tokenizer.h"

namespace switchyard {

struct CompletionRequest {
  std::string model;                         // "": not named
  std::vector<std::vector<int32_t>> inputs;  // as InferenceModel::encode()'s
  int64_t num_outputs = 1;                   // of each input
  int64_t max_new_tokens = 16;
  OutputOptions output;                   // but for `stop`
  std::optional<SamplingOptions> sample;  // empty: greedy
  std::vector<std::string> stops;         // none of them empty
  bool stream = false, include_usage = false;
  std::optional<int64_t> log_probs;  // alternatives to show of each id
  bool return_token_ids = false;
  bool routing = false;

  int64_t num_choices() const { return static_cast<int64_t>(inputs.size()) * num_outputs; }
};

/// Greedy unless a field of sampling is given, or more than one output; `temperature` 0 is greedy
/// in any case. Without `seed`, one is drawn. `tokenizer` may be null. Throws Error(kUsage) with
/// the field in where_part(), or kRequestBody.
CompletionRequest parse_completion_request(std::string_view body, const Tokenizer* tokenizer,
                                           const RequestLimits& limits);

}  // namespace switchyard
