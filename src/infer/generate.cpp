#include "infer/generate.h"

#include "base/error.h"
#include "base/format.h"
#include "infer/beam_search.h"
#include "infer/greedy.h"

namespace switchyard {

void GenerateOptions::validate(int64_t vocab_size, const std::string& where) const {
  if (sample && beam_search()) {
    throw usage_error(
        "sampling and beams do not go together", where,
        "leave --num-beams out, or all of --temperature, --top-k, --top-p, --min-p, --seed");
  }
  for (const int32_t id : output.prefix) {
    if (id >= 0 && id < vocab_size) continue;
    throw usage_error(format("id {} of the prefix is outside the vocabulary", id), where,
                      format("the model has ids 0 to {}", vocab_size - 1));
  }
  if (!sample && num_return > num_beams) {
    throw usage_error(format("--num-return {} is above --num-beams {}", num_return, num_beams),
                      where, format("set --num-beams to {} or more, or sample", num_return));
  }
  if (beam_search() && 2 * num_beams > vocab_size) {
    throw usage_error(
        format("--num-beams {} is too much for a vocabulary of {} ids", num_beams, vocab_size),
        where, format("set it to {} or less", vocab_size / 2));
  }
}

std::vector<std::vector<Generation>> generate(StepDecoder& decoder,
                                              const std::vector<uint64_t>& keys,
                                              const GenerateOptions& options) {
  if (options.sample) {
    return sample_decode(decoder, keys, options.sampling(), options.output, options.listener);
  }
  if (options.beam_search()) {
    return beam_search(decoder, {options.max_new_tokens, options.num_beams, options.length_penalty,
                                 options.num_return, options.output});
  }
  std::vector<std::vector<Generation>> results;
  for (Generation& own :
       greedy_decode(decoder, options.max_new_tokens, options.output, options.listener)) {
    results.push_back({std::move(own)});
  }
  return results;
}

}  // namespace switchyard
