#include <memory>

#include "base/format.h"
#include "bench/cases/case_tools.h"
#include "bench/cases/op_case.h"
#include "model/moe/router.h"

namespace switchyard {
namespace {

constexpr int64_t kTokens = 8192, kGroup = 4096;  // mini's encoder: 16 sequences share a capacity

/// Plain LibTorch, as the paper's code has it: places by a running sum over one-hot choices.
at::Tensor plain_route(const at::Tensor& logits, int64_t capacity) {
  const int64_t experts = logits.size(1);
  const auto [gate, expert] = at::softmax(logits, -1).max(-1);
  const at::Tensor chosen = at::one_hot(expert, experts).view({-1, kGroup, experts});
  const at::Tensor place = (chosen.cumsum(1) * chosen).sum(-1).reshape(-1);
  const at::Tensor kept = at::nonzero(place.le(capacity)).squeeze(1);
  const at::Tensor kept_expert = expert.index_select(0, kept);
  at::bincount(kept_expert, {}, experts).cumsum(0);  // where the rows of each expert end
  return kept.index_select(0, at::argsort(kept_expert, /*stable=*/true, 0, false));
}

OpPair prepare(int64_t experts) {
  ModelConfig config;
  config.moe.num_experts = experts;
  config.moe.exploration = "argmax";
  const std::shared_ptr<Router> router = router_kind(config.moe).make(config);
  const int64_t capacity = expert_capacity(config.moe, kGroup, true);
  const at::Tensor logits = at::randn({kTokens, experts});
  RouterInput input;
  for (int64_t end = kGroup; end <= kTokens; end += kGroup) {
    input.group_ends.push_back(end);
    input.capacity.push_back(capacity);
  }
  input.training = true;
  const auto route = [=] {
    RouterInput own = input;
    own.probabilities = at::softmax(logits, -1);
    return router->route(own).row_choice;
  };
  const auto plain = [=] { return plain_route(logits, capacity); };
  return {pass(Direction::kForward, route, {}, {}), pass(Direction::kForward, plain, {}, {})};
}

}  // namespace

std::vector<OpCase> router_cases() {
  std::vector<OpCase> cases;
  for (const int64_t experts : {8, 32, 128}) {
    const auto numbers = static_cast<double>(kTokens * experts);
    OpCase c;
    c.name = format("router/{}x{}/fwd", kTokens, experts);
    c.type = "fp32";
    c.work.bytes = 8 * numbers;  // logits, probabilities; the plan is small
    c.memory = 64 * numbers;
    c.prepare = [=] { return prepare(experts); };
    cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace switchyard
