#include "infer/greedy.h"

#include "infer/output_loop.h"

namespace switchyard {

std::vector<Generation> greedy_decode(StepDecoder& decoder, int64_t max_new_tokens,
                                      const OutputOptions& options, const IdListener& listener) {
  std::vector<LoopOutput> outputs;
  for (int64_t i = 0; i < decoder.num_inputs(); ++i) {
    outputs.push_back({static_cast<size_t>(i), 0, OngoingOutput(options, max_new_tokens)});
  }
  run_outputs(decoder, options.prefix, outputs, listener);
  std::vector<Generation> generations;
  for (LoopOutput& output : outputs) generations.push_back(output.own.take());
  return generations;
}

}  // namespace switchyard
