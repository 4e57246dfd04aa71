// The body of POST /v1/score: one input and target, as a line of `switchyard score`.
#pragma once

#include <string>
#include <string_view>

#include "infer/score.h"
#include "serve/limits.h"
#include "text/tokenizer.h"

namespace switchyard {

struct ScoreBody {
  std::string model;  // "": not named
  ScoreRequest request;
};

/// Throws Error(kUsage) with the field in where_part(). `tokenizer` may be null.
ScoreBody parse_score_request(std::string_view body, const Tokenizer* tokenizer,
                              const RequestLimits& limits);

}  // namespace switchyard
