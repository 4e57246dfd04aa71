#include "infer/greedy.h"

#include <algorithm>

namespace switchyard {

std::vector<Generation> greedy_decode(StepDecoder& decoder, int64_t max_new_tokens) {
  std::vector<Generation> generations(static_cast<size_t>(decoder.num_inputs()));
  const int64_t vocabulary = decoder.vocab_size();
  StepRows rows;
  std::vector<size_t> owners;  // row -> input
  for (size_t i = 0; i < generations.size(); ++i) {
    rows.add(static_cast<int64_t>(i), kDecoderStartId);
    owners.push_back(i);
  }
  for (int64_t position = 0; position < max_new_tokens && rows.size() > 0; ++position) {
    const at::Tensor log_p = decoder.step(rows);
    StepRows next;
    std::vector<size_t> next_owners;
    for (size_t r = 0; r < rows.size(); ++r) {
      const float* row = log_p.const_data_ptr<float>() + static_cast<int64_t>(r) * vocabulary;
      const int64_t id = std::max_element(row, row + vocabulary) - row;
      Generation& own = generations[owners[r]];
      own.log_prob += row[id];
      own.score = own.log_prob;
      own.finished = id == kDecoderEosId;
      if (own.finished) continue;
      own.ids.push_back(static_cast<int32_t>(id));
      next.add(static_cast<int64_t>(r), id);
      next_owners.push_back(owners[r]);
    }
    rows = std::move(next);
    owners = std::move(next_owners);
  }
  return generations;
}

}  // namespace switchyard
