#include "model/moe/hash_router.h"

#include "base/random.h"

namespace switchyard {
namespace {

// Part of the model's definition: another key would send a trained model's tokens elsewhere.
constexpr uint64_t kHashKey = 0x5357495443480001u;

}  // namespace

HashRouter::HashRouter(const ModelConfig& config)
    : num_experts_(config.moe.num_experts),
      vocabulary_(static_cast<uint64_t>(config.vocab_size)),
      balanced_(config.moe.hash == "balanced") {}

int64_t HashRouter::expert_of(int64_t id) const {
  const auto experts = static_cast<uint64_t>(num_experts_);
  const auto key = static_cast<uint64_t>(id);
  if (balanced_)
    return static_cast<int64_t>(permute_index(key, vocabulary_, kHashKey, 0) % experts);
  return static_cast<int64_t>(RandomStream(kHashKey, kRandomExplore).below(key, experts));
}

RoutingPlan HashRouter::route(const RouterInput& input) const {
  TORCH_CHECK(input.ids.defined(), "the hash router needs the token ids");
  const at::Tensor ids = input.ids.contiguous();
  const int64_t* id = ids.const_data_ptr<int64_t>();
  const bool* valid = input.valid.defined() ? input.valid.const_data_ptr<bool>() : nullptr;
  RoutingPlan plan;
  plan.num_tokens = ids.numel();
  plan.num_choices = 1;
  plan.num_experts = num_experts_;
  plan.gate = at::ones({plan.num_tokens, 1}, at::kFloat);
  plan.expert = at::empty({plan.num_tokens, 1}, at::kLong);
  int64_t* expert = plan.expert.mutable_data_ptr<int64_t>();
  for (int64_t t = 0; t < plan.num_tokens; ++t) {
    expert[t] = valid && !valid[t] ? -1 : expert_of(id[t]);
  }
  assign_places(plan, input);
  return plan;
}

}  // namespace switchyard
