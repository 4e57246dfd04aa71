// Which tokens choose each expert: how often the first choice of a token id was each expert of a
// layer.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/batch.h"
#include "model/moe/routing_stats.h"

namespace switchyard {

/// A token id that chooses an expert. In decoder layers it is what the decoder has just read.
struct ExpertToken {
  int32_t id = 0;
  double share = 0;  // of the tokens that choose the expert first
  double of_id = 0;  // of the occurrences of the id, those that choose the expert
};

/// Thread-compatible.
class TokenChoices {
 public:
  /// Adds a batch and what a forward pass with ForwardOptions::keep_choices said of it. Memory
  /// grows with the distinct pairs of expert and id, which are no more than tokens.
  void add(const Batch& batch, const std::vector<RoutingStats>& routing);
  TokenChoices& operator+=(const TokenChoices& other);

  bool empty() const { return layers_.empty(); }
  /// For each expert of a layer at most `count` ids, those first that tell most about it: the
  /// largest parts of the mutual information between id and expert. Empty for an unknown layer.
  std::vector<std::vector<ExpertToken>> characteristic(const std::string& layer,
                                                       size_t count) const;

 private:
  using Pair = uint64_t;  // expert, id

  struct Layer {
    std::string name;
    size_t experts = 0;
    std::unordered_map<Pair, int64_t> counts;
  };

  Layer& layer_named(const std::string& name, size_t experts);

  std::vector<Layer> layers_;
};

}  // namespace switchyard
