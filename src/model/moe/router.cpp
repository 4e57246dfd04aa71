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

void assign_places(RoutingPlan& plan, const RouterInput& input) {
  const int64_t choices = plan.num_choices;
  const auto experts = static_cast<size_t>(plan.num_experts);
  const int64_t* expert = plan.expert.const_data_ptr<int64_t>();
  plan.kept = at::zeros({plan.num_tokens, choices}, at::kBool);
  bool* kept = plan.kept.mutable_data_ptr<bool>();
  // First pass: who is kept, and how many rows each (group, expert) gets.
  const size_t groups = input.group_ends.size();
  std::vector<int64_t> taken(groups * experts, 0);
  int64_t group_begin = 0;
  for (size_t g = 0; g < groups; ++g) {
    int64_t* count = taken.data() + g * experts;
    for (int64_t k = 0; k < choices; ++k) {
      for (int64_t t = group_begin; t < input.group_ends[g]; ++t) {
        const int64_t e = expert[t * choices + k];
        if (e < 0 || count[e] >= input.capacity[g]) continue;
        kept[t * choices + k] = true;
        ++count[e];
      }
    }
    group_begin = input.group_ends[g];
  }
  // Second pass: rows sorted by expert, then group, then choice and token.
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
  group_begin = 0;
  for (size_t g = 0; g < groups; ++g) {
    for (int64_t k = 0; k < choices; ++k) {
      for (int64_t t = group_begin; t < input.group_ends[g]; ++t) {
        const int64_t at = t * choices + k;
        if (kept[at]) row_choice[next[g * experts + static_cast<size_t>(expert[at])]++] = at;
      }
    }
    group_begin = input.group_ends[g];
  }
}

}  // namespace switchyard
