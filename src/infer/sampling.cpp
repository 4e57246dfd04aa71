#include "infer/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "infer/output_loop.h"

namespace switchyard {
namespace {

/// The first of `ids` at which the running sum of `weights` exceeds `target`.
int64_t pick(const std::vector<int64_t>& ids, const std::vector<double>& weights, double target) {
  double sum = 0;
  for (const int64_t id : ids) {
    sum += weights[static_cast<size_t>(id)];
    if (sum > target) return id;
  }
  // Rounding may leave the sum just below the target: the last id that can be drawn.
  const auto possible = std::find_if(
      ids.rbegin(), ids.rend(), [&](int64_t id) { return weights[static_cast<size_t>(id)] > 0; });
  return *possible;
}

double total(const std::vector<int64_t>& ids, const std::vector<double>& weights) {
  double sum = 0;
  for (const int64_t id : ids) sum += weights[static_cast<size_t>(id)];
  return sum;
}

/// Keeps the fewest of `ids`, most probable first, that have `share` of their weight.
void keep_share(std::vector<int64_t>& ids, const std::vector<double>& weights, double share) {
  const double enough = share * total(ids, weights);
  double sum = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    sum += weights[static_cast<size_t>(ids[i])];
    if (sum >= enough) {
      ids.resize(i + 1);
      return;
    }
  }
}

}  // namespace

int64_t sample_id(std::span<const float> log_p, const SamplingOptions& options, double uniform) {
  const float highest = *std::max_element(log_p.begin(), log_p.end());
  std::vector<double> weights(log_p.size());
  for (size_t i = 0; i < log_p.size(); ++i) {
    weights[i] = std::exp((static_cast<double>(log_p[i]) - highest) / options.temperature);
  }
  std::vector<int64_t> ids(log_p.size());
  std::iota(ids.begin(), ids.end(), 0);
  if (options.top_k > 0 || options.top_p < 1) {
    const auto more_probable = [&](int64_t a, int64_t b) {
      const float p = log_p[static_cast<size_t>(a)], q = log_p[static_cast<size_t>(b)];
      return p != q ? p > q : a < b;
    };
    const size_t kept =
        options.top_k > 0 ? std::min(ids.size(), static_cast<size_t>(options.top_k)) : ids.size();
    std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(kept), ids.end(),
                      more_probable);
    ids.resize(kept);
    if (options.top_p < 1) keep_share(ids, weights, options.top_p);
  }
  if (options.min_p > 0) {  // the largest weight is 1
    std::erase_if(ids,
                  [&](int64_t id) { return weights[static_cast<size_t>(id)] < options.min_p; });
  }
  return pick(ids, weights, uniform * total(ids, weights));
}

std::vector<std::vector<Generation>> sample_decode(StepDecoder& decoder,
                                                   const std::vector<uint64_t>& keys,
                                                   const SamplingOptions& options,
                                                   const OutputOptions& output_options,
                                                   const IdListener& listener) {
  std::vector<LoopOutput> outputs;
  for (size_t i = 0; i < keys.size(); ++i) {
    for (size_t d = 0; d < static_cast<size_t>(options.num_return); ++d) {
      outputs.push_back({i, d, OngoingOutput(output_options, options, keys[i], d)});
    }
  }
  run_outputs(decoder, output_options.prefix, outputs, listener);
  std::vector<std::vector<Generation>> results(keys.size());
  for (LoopOutput& output : outputs) results[output.input].push_back(output.own.take());
  return results;
}

}  // namespace switchyard
