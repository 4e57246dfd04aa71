#include "infer/greedy.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>

namespace switchyard {
namespace {

constexpr int64_t kEos = 1;

at::Tensor padded(const std::vector<std::vector<int32_t>>& rows) {
  size_t longest = 1;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  const at::Tensor ids = at::zeros(
      {static_cast<int64_t>(rows.size()), static_cast<int64_t>(longest)}, at::kLong);
  int64_t* out = ids.mutable_data_ptr<int64_t>();
  for (size_t r = 0; r < rows.size(); ++r) {
    std::copy(rows[r].begin(), rows[r].end(), out + r * longest);
  }
  return ids;
}

}  // namespace

std::vector<Generation> greedy_decode(EncoderDecoder& model,
                                      const std::vector<std::vector<int32_t>>& inputs,
                                      int64_t max_new_tokens) {
  const c10::NoGradGuard no_grad;
  const ForwardOptions options;
  const auto count = static_cast<int64_t>(inputs.size());
  std::vector<Generation> generations(inputs.size());
  if (inputs.empty()) return generations;
  Batch batch = make_batch(padded(inputs), at::ones({count, 1}, at::kLong));
  const at::Tensor memory = model.encode(batch, options);
  batch.decoder_input_ids = at::zeros({count, 1}, at::kLong);
  for (int64_t position = 0; position < max_new_tokens; ++position) {
    const at::Tensor hidden = model.decode(batch, memory, options);
    const at::Tensor log_p = at::log_softmax(model.logits(hidden.select(1, position)), -1);
    const auto [best, id] = log_p.max(-1);
    bool all_finished = true;
    for (size_t r = 0; r < generations.size(); ++r) {
      Generation& own = generations[r];
      if (own.finished) continue;
      const auto next = id[static_cast<int64_t>(r)].item<int64_t>();
      own.log_prob += best[static_cast<int64_t>(r)].item<double>();
      own.finished = next == kEos;
      if (!own.finished) own.ids.push_back(static_cast<int32_t>(next));
      all_finished = all_finished && own.finished;
    }
    if (all_finished) break;
    batch.decoder_input_ids = at::cat({batch.decoder_input_ids, id.unsqueeze(1)}, 1);
  }
  return generations;
}

std::vector<int32_t> fill_sentinels(const std::vector<int32_t>& input,
                                    const std::vector<int32_t>& output, int32_t first_sentinel) {
  std::map<int32_t, std::vector<int32_t>> spans;
  int32_t open = -1;
  for (const int32_t id : output) {
    if (id >= first_sentinel) {
      open = id;
      spans.try_emplace(id);
    } else if (open >= 0) {
      spans[open].push_back(id);
    }
  }
  std::vector<int32_t> filled;
  for (const int32_t id : input) {
    const auto span = spans.find(id);
    if (span == spans.end()) {
      filled.push_back(id);
    } else {
      filled.insert(filled.end(), span->second.begin(), span->second.end());
    }
  }
  return filled;
}

}  // namespace switchyard
