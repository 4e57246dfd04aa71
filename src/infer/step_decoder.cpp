#include "infer/step_decoder.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace switchyard {
namespace {

/// [N, S] int64: the inputs side by side, 0 behind the shorter ones.
at::Tensor padded(const std::vector<std::vector<int32_t>>& inputs) {
  size_t longest = 1;
  for (const auto& input : inputs) longest = std::max(longest, input.size());
  const at::Tensor ids =
      at::zeros({static_cast<int64_t>(inputs.size()), static_cast<int64_t>(longest)}, at::kLong);
  int64_t* out = ids.mutable_data_ptr<int64_t>();
  for (size_t r = 0; r < inputs.size(); ++r) {
    std::copy(inputs[r].begin(), inputs[r].end(), out + r * longest);
  }
  return ids;
}

bool is_identity(const std::vector<int64_t>& parents, int64_t rows_before) {
  if (static_cast<int64_t>(parents.size()) != rows_before) return false;
  for (size_t r = 0; r < parents.size(); ++r) {
    if (parents[r] != static_cast<int64_t>(r)) return false;
  }
  return true;
}

}  // namespace

void feed_prefix(StepDecoder& decoder, const std::vector<int32_t>& prefix, StepRows& rows) {
  for (const int32_t id : prefix) {
    decoder.step(rows);
    StepRows next;
    for (size_t r = 0; r < rows.size(); ++r) next.add(static_cast<int64_t>(r), id);
    rows = std::move(next);
  }
}

ModelStepDecoder::ModelStepDecoder(EncoderDecoder& model,
                                   const std::vector<std::vector<int32_t>>& inputs)
    : model_(model), num_inputs_(static_cast<int64_t>(inputs.size())) {
  const c10::NoGradGuard no_grad;
  // The targets only give the number of rows; decoder inputs are set by the steps.
  batch_ = make_batch(padded(inputs), at::ones({num_inputs_, 1}, at::kLong));
  batch_.decoder_input_ids = at::empty({num_inputs_, 0}, at::kLong);
  memory_ = model_.encode(batch_, {});
}

int64_t ModelStepDecoder::vocab_size() const { return model_.config().vocab_size; }

at::Tensor ModelStepDecoder::step(const StepRows& rows) {
  const c10::NoGradGuard no_grad;
  if (!is_identity(rows.parents, memory_.size(0))) {
    const at::Tensor parents = at::tensor(rows.parents, at::kLong);
    memory_ = memory_.index_select(0, parents.to(memory_.device()));
    batch_.encoder_ids = batch_.encoder_ids.index_select(0, parents);
    batch_.decoder_input_ids = batch_.decoder_input_ids.index_select(0, parents);
    if (batch_.encoder_segments.defined()) {
      batch_.encoder_segments = batch_.encoder_segments.index_select(0, parents);
    }
  }
  batch_.decoder_input_ids =
      at::cat({batch_.decoder_input_ids, at::tensor(rows.ids, at::kLong).unsqueeze(1)}, 1);
  const at::Tensor hidden = model_.decode(batch_, memory_, {}).select(1, -1);
  const at::Tensor logits = model_.logits(hidden).to(at::kFloat);
  log_sums_ = logits.logsumexp(-1).to(at::kCPU).contiguous();
  const at::Tensor log_p = at::log_softmax(logits, -1).to(at::kCPU).contiguous();
  // One logit that is NaN or infinite makes its whole row NaN.
  if (log_p.select(1, 0).isnan().any().item<bool>()) {
    throw runtime_failure("the model's logits are not finite", "",
                          "its weights may be damaged; or try --precision fp32");
  }
  return log_p;
}

}  // namespace switchyard
