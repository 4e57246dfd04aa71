#include "infer/score.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <tuple>

namespace switchyard {
namespace {

constexpr int64_t kRowsAtOnce = 512;  // of logits [rows, V]

/// The requests picked, as rows padded with 0 to the longest.
template <class Ids>
at::Tensor padded(const std::vector<ScoreRequest>& requests, std::span<const size_t> picked,
                  Ids ids) {
  size_t longest = 0;
  for (const size_t i : picked) longest = std::max(longest, ids(requests[i]).size());
  const at::Tensor rows =
      at::zeros({static_cast<int64_t>(picked.size()), static_cast<int64_t>(longest)}, at::kLong);
  int64_t* out = rows.mutable_data_ptr<int64_t>();
  for (size_t r = 0; r < picked.size(); ++r) {
    std::copy(ids(requests[picked[r]]).begin(), ids(requests[picked[r]]).end(), out + r * longest);
  }
  return rows;
}

/// log p of each real target of the batch, row by row: [number of real targets] float64.
at::Tensor target_log_probs(EncoderDecoder& model, const Batch& batch) {
  const ForwardOptions options;
  const at::Tensor hidden = model.decode(batch, model.encode(batch, options), options);
  const at::Tensor real = batch.targets.reshape(-1).nonzero().squeeze(1);
  const at::Tensor targets = batch.targets.reshape(-1).index_select(0, real);
  const at::Tensor rows = hidden.reshape({-1, hidden.size(-1)}).index_select(0, real);
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0; begin < rows.size(0); begin += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, rows.size(0) - begin);
    const at::Tensor logits = model.logits(rows.narrow(0, begin, count));
    const at::Tensor chosen = logits.gather(1, targets.narrow(0, begin, count).unsqueeze(1));
    parts.push_back((chosen.squeeze(1) - logits.logsumexp(1)).to(at::kDouble));
  }
  return at::cat(parts);
}

}  // namespace

double Score::log_prob() const {
  return std::accumulate(token_log_probs.begin(), token_log_probs.end(), 0.0);
}

std::vector<std::vector<size_t>> score_batches(const std::vector<ScoreRequest>& requests,
                                               int64_t batch_size) {
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::tuple(requests[a].input.size(), requests[a].target.size()) <
           std::tuple(requests[b].input.size(), requests[b].target.size());
  });
  std::vector<std::vector<size_t>> batches;
  for (size_t begin = 0; begin < order.size(); begin += static_cast<size_t>(batch_size)) {
    const std::span<const size_t> picked = std::span(order).subspan(
        begin, std::min(static_cast<size_t>(batch_size), order.size() - begin));
    batches.emplace_back(picked.begin(), picked.end());
  }
  return batches;
}

std::vector<Score> score(EncoderDecoder& model, const std::vector<ScoreRequest>& requests,
                         int64_t batch_size) {
  const c10::NoGradGuard no_grad;
  std::vector<Score> scores(requests.size());
  for (const std::vector<size_t>& picked : score_batches(requests, batch_size)) {
    const auto input = [](const ScoreRequest& r) -> const auto& { return r.input; };
    const auto target = [](const ScoreRequest& r) -> const auto& { return r.target; };
    const Batch batch =
        make_batch(padded(requests, picked, input), padded(requests, picked, target));
    const at::Tensor log_probs = target_log_probs(model, batch);
    const double* at = log_probs.const_data_ptr<double>();
    for (const size_t i : picked) {
      scores[i].token_log_probs.assign(at, at + requests[i].target.size());
      at += requests[i].target.size();
    }
  }
  return scores;
}

}  // namespace switchyard
