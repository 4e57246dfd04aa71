#include "infer/cached_decoder.h"

#include <cmath>
#include <utility>

#include "base/error.h"
#include "kernels/decode_rows.h"

namespace switchyard {

CachedDecoder::CachedDecoder(InferenceModel& model, const std::vector<std::vector<int32_t>>& inputs)
    : model_(model), num_inputs_(static_cast<int64_t>(inputs.size())) {
  for (auto& input : model.encode(inputs)) rows_.push_back({std::move(input), {}});
}

int64_t CachedDecoder::vocab_size() const { return model_.config().vocab_size; }

at::Tensor CachedDecoder::step(const StepRows& rows) {
  std::vector<DecoderRow> next(rows.size());
  std::vector<size_t> uses(rows_.size(), 0);
  for (const int64_t parent : rows.parents) ++uses[static_cast<size_t>(parent)];
  std::vector<DecoderRow*> pointers;
  for (size_t r = 0; r < next.size(); ++r) {
    const auto parent = static_cast<size_t>(rows.parents[r]);
    next[r] = --uses[parent] == 0 ? std::move(rows_[parent]) : rows_[parent];
    pointers.push_back(&next[r]);
  }
  rows_ = std::move(next);
  const auto count = static_cast<int64_t>(rows.size());
  if (!log_p_.defined() || log_p_.size(0) != count) {
    log_p_ = at::empty({count, vocab_size()}, at::kFloat);
  }
  float* values = log_p_.mutable_data_ptr<float>();
  model_.step(pointers, rows.ids, values);
  log_sums_.resize(rows.size());
  kernels::log_softmax_rows({values, count, vocab_size(), log_sums_.data()});
  for (int64_t r = 0; r < count; ++r) {
    if (!std::isnan(values[r * vocab_size()])) continue;
    throw runtime_failure("the model's logits are not finite", "",
                          "its weights may be damaged; or try --precision fp32");
  }
  return log_p_;
}

}  // namespace switchyard
