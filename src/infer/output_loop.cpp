#include "infer/output_loop.h"

#include <numeric>
#include <span>

namespace switchyard {

void run_outputs(StepDecoder& decoder, const std::vector<int32_t>& prefix,
                 std::vector<LoopOutput>& outputs, const IdListener& listener) {
  const auto vocabulary = static_cast<size_t>(decoder.vocab_size());
  StepRows rows;
  for (const LoopOutput& output : outputs) {
    rows.add(static_cast<int64_t>(output.input), kDecoderStartId);
  }
  if (rows.size() == 0) return;
  feed_prefix(decoder, prefix, rows);
  std::vector<size_t> owners(outputs.size());  // row -> output
  std::iota(owners.begin(), owners.end(), size_t{0});
  while (rows.size() > 0) {
    const at::Tensor log_p = decoder.step(rows);
    const float* log_sums = decoder.log_sums();
    StepRows next;
    std::vector<size_t> next_owners;
    for (size_t r = 0; r < owners.size(); ++r) {
      LoopOutput& output = outputs[owners[r]];
      const std::span<const float> row(log_p.const_data_ptr<float>() + r * vocabulary, vocabulary);
      const int64_t id = output.own.advance(row, log_sums ? log_sums[r] : 0.0f);
      if (listener) {
        listener({output.input, output.draw, id, row[static_cast<size_t>(id)], output.own.done()});
      }
      if (output.own.done()) continue;
      next.add(static_cast<int64_t>(r), id);
      next_owners.push_back(owners[r]);
    }
    rows = std::move(next);
    owners = std::move(next_owners);
  }
}

}  // namespace switchyard
