#include "train/token_choices.h"

#include <algorithm>
#include <cmath>

namespace switchyard {
namespace {

uint64_t pair_of(int64_t expert, int64_t id) {
  return static_cast<uint64_t>(expert) << 32 | static_cast<uint32_t>(id);
}
size_t expert_of(uint64_t pair) { return pair >> 32; }
int32_t id_of(uint64_t pair) { return static_cast<int32_t>(pair & 0xffffffffU); }

}  // namespace

TokenChoices::Layer& TokenChoices::layer_named(const std::string& name, size_t experts) {
  for (Layer& layer : layers_) {
    if (layer.name == name) return layer;
  }
  return layers_.emplace_back(Layer{name, experts, {}});
}

void TokenChoices::add(const Batch& batch, const std::vector<RoutingStats>& routing) {
  for (const RoutingStats& stats : routing) {
    if (!stats.choices.defined()) continue;
    Layer& layer = layer_named(stats.layer, stats.load.size());
    const bool decoder = stats.layer.starts_with("decoder");
    const at::Tensor ids =
        (decoder ? batch.decoder_input_ids : batch.encoder_ids).reshape(-1).contiguous();
    const at::Tensor choices = stats.choices.contiguous();
    const auto* id = ids.const_data_ptr<int64_t>();
    const auto* choice = choices.const_data_ptr<int64_t>();
    for (int64_t t = 0; t < ids.numel(); ++t) {
      if (choice[t] >= 0) ++layer.counts[pair_of(choice[t], id[t])];
    }
  }
}

TokenChoices& TokenChoices::operator+=(const TokenChoices& other) {
  for (const Layer& theirs : other.layers_) {
    Layer& own = layer_named(theirs.name, theirs.experts);
    for (const auto& [pair, count] : theirs.counts) own.counts[pair] += count;
  }
  return *this;
}

std::vector<std::vector<ExpertToken>> TokenChoices::characteristic(const std::string& layer,
                                                                   size_t count) const {
  const auto found = std::find_if(layers_.begin(), layers_.end(),
                                  [&](const Layer& any) { return any.name == layer; });
  if (found == layers_.end()) return {};
  const Layer& own = *found;
  std::vector<double> of_expert(own.experts, 0.0);
  std::unordered_map<int32_t, double> of_id;
  double all = 0;
  for (const auto& [pair, times] : own.counts) {
    of_expert[expert_of(pair)] += static_cast<double>(times);
    of_id[id_of(pair)] += static_cast<double>(times);
    all += static_cast<double>(times);
  }
  struct Candidate {
    double information;
    ExpertToken token;
  };
  std::vector<std::vector<Candidate>> candidates(own.experts);
  for (const auto& [pair, times] : own.counts) {
    const auto n = static_cast<double>(times);
    const double expert = of_expert[expert_of(pair)], id = of_id[id_of(pair)];
    const double information = n * std::log(n * all / (expert * id));
    if (information <= 0) continue;
    candidates[expert_of(pair)].push_back({information, {id_of(pair), n / expert, n / id}});
  }
  std::vector<std::vector<ExpertToken>> tokens;
  for (std::vector<Candidate>& all_of_it : candidates) {
    std::sort(all_of_it.begin(), all_of_it.end(), [](const Candidate& a, const Candidate& b) {
      if (a.information != b.information) return a.information > b.information;
      return a.token.id < b.token.id;
    });
    std::vector<ExpertToken>& best = tokens.emplace_back();
    for (size_t i = 0; i < std::min(count, all_of_it.size()); ++i)
      best.push_back(all_of_it[i].token);
  }
  return tokens;
}

}  // namespace switchyard
