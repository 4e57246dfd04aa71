// The JSON lines of `switchyard generate`: what is asked, and the answer added to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "infer/generation.h"
#include "text/tokenizer.h"

namespace switchyard {

struct GenerateRequest {
  nlohmann::ordered_json object;  // the line as it was read
  std::vector<int32_t> input_ids;
  uint64_t line = 0;  // its number, from 1
};

/// Ids of a text as the encoder reads it, with EOS.
std::vector<int32_t> encode_input(const Tokenizer& tokenizer, std::string_view text);

/// Reads {"input_ids": [...]} (ids in [0, vocab_size), taken as they are) or {"input": "text"}
/// (EOS is added); other keys are kept. `tokenizer` may be null. Throws Error(kUsage) that names
/// file, line and key: not a JSON object, both keys or neither, wrong types, ids outside the
/// vocabulary, nothing but padding, text without a tokenizer.
GenerateRequest parse_generate_line(std::string_view line, const Tokenizer* tokenizer,
                                    int64_t vocab_size, const std::string& file,
                                    uint64_t line_number);

struct AnswerOptions {
  bool fill = false;             // adds `filled`; needs a tokenizer
  bool n_best = false;           // adds the list `outputs`
  bool score = false;            // adds `score`
  bool token_log_probs = false;  // adds those
};

/// The line of the answer, without its end: the object with `output_ids`, `log_prob` and, with a
/// tokenizer, `output` of the best generation; with n_best, `outputs` has an object with the same
/// keys for each. At least one generation.
std::string answer_line(const GenerateRequest& request, const std::vector<Generation>& generations,
                        const Tokenizer* tokenizer, const AnswerOptions& options);

/// The text of the input with the sentinels replaced by the spans generated for them.
std::string filled_text(const Tokenizer& tokenizer, const std::vector<int32_t>& input_ids,
                        const Generation& generation);

}  // namespace switchyard
