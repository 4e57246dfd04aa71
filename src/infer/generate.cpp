#include "infer/generate.h"

#include "infer/greedy.h"

namespace switchyard {

std::vector<std::vector<Generation>> generate(StepDecoder& decoder,
                                              const GenerateOptions& options) {
  std::vector<std::vector<Generation>> results;
  for (Generation& own : greedy_decode(decoder, options.max_new_tokens)) {
    results.push_back({std::move(own)});
  }
  return results;
}

}  // namespace switchyard
