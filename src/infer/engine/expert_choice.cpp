#include "infer/engine/expert_choice.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/format.h"
#include "kernels/bf16.h"
#include "model/moe/profile.h"

namespace switchyard {
namespace {

int64_t best_but(const std::vector<float>& values, int64_t but) {
  int64_t best = but == 0 ? 1 : 0;
  for (int64_t e = best + 1; e < static_cast<int64_t>(values.size()); ++e) {
    if (e != but && values[static_cast<size_t>(e)] > values[static_cast<size_t>(best)]) best = e;
  }
  return best;
}

}  // namespace

std::string batch_dependence(const MoeConfig& config) {
  if (config.num_experts == 0) return "";
  const bool random = config.router == "top2" && config.second_choice == "random";
  if (config.router != "expert_choice" && !random) return "";
  return format("router \"{}\"{} chooses by what else is in the batch", config.router,
                random ? " with second_choice = \"random\"" : "");
}

ExpertChooser::ExpertChooser(const ModelConfig& config, bool bfloat16)
    : num_experts_(config.moe.num_experts) {
  const MoeConfig& moe = config.moe;
  const std::string obstacle = batch_dependence(moe);
  if (!obstacle.empty()) {
    throw usage_error(obstacle, "decoding with a cache", "decode without a cache");
  }
  const RoutingRules rules = routing_rules(moe);
  route_padding_ = rules.route_padding;
  round_probabilities_ = rules.round_probabilities && bfloat16;
  renormalize_ = rules.renormalize_top2;
  gates_sum_to_one_ = moe.gate != "probability";
  if (rules.capacity == CapacityRule::kAbsolute && rules.group_sequences == 1 &&
      moe.router == "switch" && !moe.batch_prioritized) {
    capacity_ = moe.expert_capacity;
  }
  if (moe.router == "hash") hash_ = std::make_unique<HashRouter>(config);
  top2_ = moe.router == "top2";
  if (top2_ && moe.second_choice != "none") {
    num_choices_ = 2;
    second_threshold_ = moe.second_choice == "threshold" ? moe.second_threshold : -1.0;
  }
  probabilities_.resize(static_cast<size_t>(num_experts_));
}

void ExpertChooser::choose_for_token(const float* logits, int64_t id, int64_t token, int64_t k,
                                     std::vector<Choice>& choices) {
  if (hash_) {
    choices.push_back({token, hash_->expert_of(id), 1.0f});
    return;
  }
  const float largest = *std::max_element(logits, logits + num_experts_);
  float sum = 0;
  for (size_t e = 0; e < probabilities_.size(); ++e) {
    sum += probabilities_[e] = std::exp(logits[e] - largest);
  }
  for (float& p : probabilities_) {
    p /= sum;
    if (round_probabilities_) p = kernels::to_float(kernels::to_bf16(p));
  }
  const int64_t first = best_but(probabilities_, -1);
  float gate = probabilities_[static_cast<size_t>(first)];
  if (!top2_) {
    choices.push_back({token, first, gates_sum_to_one_ ? 1.0f : gate});
    return;
  }
  const int64_t second = best_but(probabilities_, first);
  float second_gate = probabilities_[static_cast<size_t>(second)];
  if (renormalize_) {
    const float both = gate + second_gate + 1e-9f;
    gate /= both;
    second_gate /= both;
  }
  const bool both_used = num_choices_ == 2 && second_gate > second_threshold_;
  if (gates_sum_to_one_) {
    const float used = gate + (both_used ? second_gate : 0.0f);
    gate /= used;
    second_gate /= used;
  }
  if (k == 0) {
    choices.push_back({token, first, gate});
  } else if (both_used) {
    choices.push_back({token, second, second_gate});
  }
}

void ExpertChooser::choose(const float* logits, std::span<const int64_t> ids,
                           std::span<const TokenRange> sequences, int64_t k,
                           std::vector<Choice>& choices) {
  choices.clear();
  dropped_.clear();
  for (size_t t = 0; t < ids.size(); ++t) {
    const auto token = static_cast<int64_t>(t);
    // In a decoder 0 is the start id, a token like others.
    if (!sequences.empty() && ids[t] == 0 && !route_padding_) continue;
    choose_for_token(logits ? logits + token * num_experts_ : nullptr, ids[t], token, k, choices);
  }
  if (capacity_ > 0) drop_beyond_capacity(sequences, choices);
}

void ExpertChooser::drop_beyond_capacity(std::span<const TokenRange> sequences,
                                         std::vector<Choice>& choices) {
  size_t kept = 0, next = 0;
  for (const TokenRange& sequence : sequences) {
    used_.assign(static_cast<size_t>(num_experts_), 0);
    for (; next < choices.size() && choices[next].token < sequence.end; ++next) {
      if (used_[static_cast<size_t>(choices[next].expert)]++ < capacity_) {
        choices[kept++] = choices[next];
      } else {
        dropped_.push_back(choices[next]);
      }
    }
  }
  if (!sequences.empty()) choices.resize(kept);
}

}  // namespace switchyard
