// Which experts a token goes to when a model answers: as its router says in evaluation, but without
// capacities that other sequences share, so that nothing depends on what is decoded together.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/moe/hash_router.h"

namespace switchyard {

struct Choice {
  int64_t token, expert;
  float gate;
};

/// Tokens [begin, end) of a sequence, for capacities that belong to one.
struct TokenRange {
  int64_t begin, end;
};

/// Why a router's choice depends on what else is in the batch; "" if it does not.
std::string batch_dependence(const MoeConfig& config);

/// Every token gets a place, with one exception: where the profile's capacity is a number per
/// sequence (profile "hf"), tokens of the encoder beyond it are dropped as transformers drops them.
/// A decoding step has one token of a sequence, which no capacity drops.
class ExpertChooser {
 public:
  /// `bfloat16`: type of the activations, which profile "hf" rounds probabilities to. Throws
  /// Error(kUsage) where there is a batch_dependence(): expert_choice, and top2 with second_choice
  /// = "random".
  ExpertChooser(const ModelConfig& config, bool bfloat16);

  /// Most choices of a token.
  int64_t num_choices() const { return num_choices_; }
  /// Choice number k of each token that has one, tokens in order. `logits` [tokens, experts] of the
  /// router, null if it does not learn; `ids` of the tokens: those with 0 are not routed unless the
  /// profile routes padding. `sequences`: those of an encoder; empty in a decoder.
  void choose(const float* logits, std::span<const int64_t> ids,
              std::span<const TokenRange> sequences, int64_t k, std::vector<Choice>& choices);
  /// What the last choose() left out because the expert had no place.
  const std::vector<Choice>& dropped() const { return dropped_; }

 private:
  void choose_for_token(const float* logits, int64_t id, int64_t token, int64_t k,
                        std::vector<Choice>& choices);
  void drop_beyond_capacity(std::span<const TokenRange> sequences, std::vector<Choice>& choices);

  int64_t num_experts_, num_choices_ = 1;
  int64_t capacity_ = 0;  // of an expert, per sequence; 0: no limit
  bool route_padding_, round_probabilities_, renormalize_, top2_;
  bool gates_sum_to_one_ = false;  // gate = "normalized" or "straight_through"
  double second_threshold_ = 0;    // the second gate must be above it
  std::unique_ptr<HashRouter> hash_;
  std::vector<float> probabilities_;  // of one token
  std::vector<int64_t> used_;         // places per expert
  std::vector<Choice> dropped_;
};

}  // namespace switchyard
