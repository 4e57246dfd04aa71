// Which tokens each expert gets: how often the first choice of a token id was each expert of a
// layer.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/batch.h"
#include "model/moe/routing_stats.h"

namespace switchyard {

/// A token id that an expert gets. In decoder layers it is what the decoder has just read.
struct ExpertToken {
  int32_t id = 0;
  double share = 0;  // of the tokens that the expert gets
  double kept = 0;   // of the token's occurrences, those that the expert gets
};

/// Thread-compatible.
class TokenChoices {
 public:
  /// Adds a batch and what a forward pass with ForwardOptions::keep_choices said of it. Memory
  /// grows with the distinct pairs of expert and id, which are no more than tokens.
  void add(const Batch& batch, const std::vector<RoutingStats>& routing);
  TokenChoices& operator+=(const TokenChoices& other);

  size_t num_layers() const { return layers_.size(); }
  const std::string& layer(size_t index) const { return layers_[index].name; }
  /// For each expert of a layer at most `count` ids, those first that tell most about it: the
  /// largest parts of the mutual information between id and expert.
  std::vector<std::vector<ExpertToken>> characteristic(size_t layer, size_t count) const;

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
