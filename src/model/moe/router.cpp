#include "model/moe/router.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/moe/switch_router.h"

namespace switchyard {

std::unique_ptr<Router> make_router(const MoeConfig& config) {
  if (config.router == "switch") return std::make_unique<SwitchRouter>();
  throw usage_error("router \"" + config.router + "\" is not known", "model.moe.router",
                    "choose one of: switch");
}

int64_t expert_capacity(const MoeConfig& config, int64_t group_tokens, bool training) {
  const double factor = training ? config.capacity_factor_train : config.capacity_factor_eval;
  const double share = static_cast<double>(group_tokens) * factor / static_cast<double>(config.num_experts);
  const auto places = static_cast<int64_t>(std::min(std::floor(share), 0x1p62));
  return std::min(std::max(places, config.min_capacity), group_tokens);
}

namespace {

/// The (token, choice) pairs of one group in the order in which they ask for places.
std::vector<int64_t> asking_order(const RoutingPlan& plan, int64_t begin, int64_t end,
                                  PlaceOrder order) {
  const int64_t choices = plan.num_choices;
  std::vector<int64_t> pairs;
  pairs.reserve(static_cast<size_t>((end - begin) * choices));
  if (order == PlaceOrder::kChoiceMajor) {
    for (int64_t k = 0; k < choices; ++k) {
      for (int64_t t = begin; t < end; ++t) pairs.push_back(t * choices + k);
    }
    return pairs;
  }
  for (int64_t pair = begin * choices; pair < end * choices; ++pair) pairs.push_back(pair);
  if (order == PlaceOrder::kByProbability) {
    const at::Tensor gate = plan.gate.detach().to(at::kDouble).contiguous();
    const double* g = gate.const_data_ptr<double>();
    std::stable_sort(pairs.begin(), pairs.end(),
                     [&](int64_t a, int64_t b) { return g[a] > g[b]; });
  }
  return pairs;
}

}  // namespace

void assign_places(RoutingPlan& plan, const RouterInput& input, PlaceOrder order) {
  const auto experts = static_cast<size_t>(plan.num_experts);
  const size_t groups = input.group_ends.size();
  const at::Tensor chosen = plan.expert.contiguous();
  const int64_t* expert = chosen.const_data_ptr<int64_t>();
  plan.kept = at::zeros({plan.num_tokens, plan.num_choices}, at::kBool);
  bool* kept = plan.kept.mutable_data_ptr<bool>();

  // Who is kept, in asking order; and how many rows each (group, expert) gets.
  std::vector<std::vector<int64_t>> asking(groups);
  std::vector<int64_t> taken(groups * experts, 0);
  for (size_t g = 0; g < groups; ++g) {
    const int64_t begin = g == 0 ? 0 : input.group_ends[g - 1];
    asking[g] = asking_order(plan, begin, input.group_ends[g], order);
    int64_t* count = taken.data() + g * experts;
    for (const int64_t pair : asking[g]) {
      const int64_t e = expert[pair];
      if (e < 0 || count[e] >= input.capacity[g]) continue;
      kept[pair] = true;
      ++count[e];
    }
    if (order == PlaceOrder::kByProbability) std::sort(asking[g].begin(), asking[g].end());
  }

  // Counting sort of the kept pairs by expert, then group.
  plan.offsets.assign(experts + 1, 0);
  std::vector<int64_t> next(groups * experts);
  int64_t row = 0;
  for (size_t e = 0; e < experts; ++e) {
    for (size_t g = 0; g < groups; ++g) {
      next[g * experts + e] = row;
      row += taken[g * experts + e];
    }
    plan.offsets[e + 1] = row;
  }
  plan.row_choice = at::empty({row}, at::kLong);
  int64_t* row_choice = plan.row_choice.mutable_data_ptr<int64_t>();
  for (size_t g = 0; g < groups; ++g) {
    for (const int64_t pair : asking[g]) {
      if (kept[pair]) row_choice[next[g * experts + static_cast<size_t>(expert[pair])]++] = pair;
    }
  }
}

}  // namespace switchyard
