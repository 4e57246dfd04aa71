#include "model/moe/router.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/format.h"
#include "model/moe/expert_choice_router.h"
#include "model/moe/hash_router.h"
#include "model/moe/ntlb_router.h"
#include "model/moe/profile.h"
#include "model/moe/switch_max_router.h"
#include "model/moe/switch_router.h"
#include "model/moe/top2_router.h"

namespace switchyard {
namespace {

template <class R>
std::unique_ptr<Router> make(const ModelConfig& config) {
  return std::make_unique<R>(config);
}

}  // namespace

const std::vector<RouterKind>& router_kinds() {
  static const std::vector<RouterKind> kinds = {
      {.name = "switch", .make = make<SwitchRouter>, .draws_expert = true},
      {.name = "top2", .make = make<Top2Router>},
      {.name = "ntlb", .make = make<NtlbRouter>},
      {.name = "switch_max",
       .make = make<SwitchMaxRouter>,
       .causal = false,
       .draws_expert = true,
       .prioritized = false},
      {.name = "expert_choice",
       .make = make<ExpertChoiceRouter>,
       .balanced = false,
       .causal = false,
       .prioritized = false},
      {.name = "hash",
       .make = make<HashRouter>,
       .learned = false,
       .balanced = false,
       .prioritized = false},
  };
  return kinds;
}

const RouterKind& router_kind(const MoeConfig& config) {
  std::string names;
  for (const RouterKind& kind : router_kinds()) {
    if (kind.name == config.router) return kind;
    names += (names.empty() ? "" : ", ") + kind.name;
  }
  throw usage_error(format("router \"{}\" is not known", config.router), "model.moe.router",
                    "choose one of: " + names);
}

PlaceOrder place_order(const MoeConfig& config) {
  return config.batch_prioritized ? PlaceOrder::kBatchPrioritized : PlaceOrder::kChoiceMajor;
}

int64_t expert_capacity(const MoeConfig& config, int64_t group_tokens, bool training) {
  const CapacityRule rule = routing_rules(config).capacity;
  if (rule == CapacityRule::kDropless) return group_tokens;
  if (rule == CapacityRule::kAbsolute) return std::min(config.expert_capacity, group_tokens);
  const double factor = training ? config.capacity_factor_train : config.capacity_factor_eval;
  const double share =
      static_cast<double>(group_tokens) * factor / static_cast<double>(config.num_experts);
  // nearbyint rounds halves to the even number, as Python does.
  const double whole = rule == CapacityRule::kHalfEven ? std::nearbyint(share) : std::floor(share);
  const auto places = static_cast<int64_t>(std::min(whole, 0x1p62));
  return std::min(std::max(places, config.min_capacity), group_tokens);
}

namespace {

using Pairs = std::vector<int64_t>;  // t * K + k

/// Tokens begin .. end, those of largest best probability first, earlier ones first among equals.
std::vector<int64_t> tokens_by_priority(const double* priority, int64_t begin, int64_t end) {
  std::vector<int64_t> tokens;
  for (int64_t t = begin; t < end; ++t) tokens.push_back(t);
  if (priority) {
    std::stable_sort(tokens.begin(), tokens.end(),
                     [&](int64_t a, int64_t b) { return priority[a] > priority[b]; });
  }
  return tokens;
}

/// The pairs of one group in the order in which they ask for places. `key`: what kByProbability
/// (gates [T, K]) and kBatchPrioritized (best probabilities [T]) sort by.
Pairs asking_order(const RoutingPlan& plan, int64_t begin, int64_t end, PlaceOrder order,
                   const double* key) {
  const int64_t choices = plan.num_choices;
  Pairs pairs;
  pairs.reserve(static_cast<size_t>((end - begin) * choices));
  if (order == PlaceOrder::kChoiceMajor || order == PlaceOrder::kBatchPrioritized) {
    const std::vector<int64_t> tokens = tokens_by_priority(key, begin, end);
    for (int64_t k = 0; k < choices; ++k) {
      for (const int64_t t : tokens) pairs.push_back(t * choices + k);
    }
    return pairs;
  }
  for (int64_t pair = begin * choices; pair < end * choices; ++pair) pairs.push_back(pair);
  if (order == PlaceOrder::kByProbability) {
    std::stable_sort(pairs.begin(), pairs.end(),
                     [&](int64_t a, int64_t b) { return key[a] > key[b]; });
  }
  return pairs;
}

at::Tensor sorting_key(const RoutingPlan& plan, const RouterInput& input, PlaceOrder order) {
  if (order == PlaceOrder::kByProbability) return plan.gate.detach().to(at::kDouble).contiguous();
  if (order == PlaceOrder::kBatchPrioritized) {
    return input.probabilities.detach().amax(1).to(at::kDouble);
  }
  return {};
}

/// Counting sort of the kept pairs by expert, then group, then their place in `asking`.
void sort_rows(RoutingPlan& plan, const std::vector<Pairs>& asking) {
  const auto experts = static_cast<size_t>(plan.num_experts);
  const at::Tensor chosen = plan.expert.contiguous();
  const int64_t* expert = chosen.const_data_ptr<int64_t>();
  const bool* kept = plan.kept.const_data_ptr<bool>();
  std::vector<int64_t> next(asking.size() * experts, 0);  // first counts, then next free rows
  for (size_t g = 0; g < asking.size(); ++g) {
    for (const int64_t pair : asking[g]) {
      if (kept[pair]) ++next[g * experts + static_cast<size_t>(expert[pair])];
    }
  }
  plan.offsets.assign(experts + 1, 0);
  int64_t row = 0;
  for (size_t e = 0; e < experts; ++e) {
    for (size_t g = 0; g < asking.size(); ++g) {
      const int64_t count = next[g * experts + e];
      next[g * experts + e] = row;
      row += count;
    }
    plan.offsets[e + 1] = row;
  }
  plan.row_choice = at::empty({row}, at::kLong);
  int64_t* row_choice = plan.row_choice.mutable_data_ptr<int64_t>();
  for (size_t g = 0; g < asking.size(); ++g) {
    for (const int64_t pair : asking[g]) {
      if (kept[pair]) row_choice[next[g * experts + static_cast<size_t>(expert[pair])]++] = pair;
    }
  }
}

}  // namespace

void assign_places(RoutingPlan& plan, const RouterInput& input, PlaceOptions options) {
  const auto experts = static_cast<size_t>(plan.num_experts);
  const size_t groups = input.group_ends.size();
  const at::Tensor chosen = plan.expert.contiguous();
  const int64_t* expert = chosen.const_data_ptr<int64_t>();
  const at::Tensor key = sorting_key(plan, input, options.order);
  const double* sort_key = key.defined() ? key.const_data_ptr<double>() : nullptr;
  plan.kept = at::zeros({plan.num_tokens, plan.num_choices}, at::kBool);
  bool* kept = plan.kept.mutable_data_ptr<bool>();
  std::vector<Pairs> asking(groups);
  for (size_t g = 0; g < groups; ++g) {
    const int64_t begin = g == 0 ? 0 : input.group_ends[g - 1];
    const int64_t end = input.group_ends[g];
    asking[g] = asking_order(plan, begin, end, options.order, sort_key);
    std::vector<int64_t> taken(experts, 0);
    std::vector<char> placed(options.one_per_token ? static_cast<size_t>(end - begin) : 0, 0);
    for (const int64_t pair : asking[g]) {
      const int64_t e = expert[pair];
      if (e < 0 || taken[static_cast<size_t>(e)] >= input.capacity[g]) continue;
      if (options.one_per_token) {
        char& has_place = placed[static_cast<size_t>(pair / plan.num_choices - begin)];
        if (has_place) continue;
        has_place = 1;
      }
      kept[pair] = true;
      ++taken[static_cast<size_t>(e)];
    }
    // Rows by token read the activations in order.
    if (options.order == PlaceOrder::kByProbability) std::sort(asking[g].begin(), asking[g].end());
  }
  sort_rows(plan, asking);
}

void lay_out_rows(RoutingPlan& plan, const std::vector<int64_t>& group_ends) {
  std::vector<Pairs> asking(group_ends.size());
  int64_t begin = 0;
  for (size_t g = 0; g < group_ends.size(); ++g) {
    asking[g] = asking_order(plan, begin, group_ends[g], PlaceOrder::kTokenMajor, nullptr);
    begin = group_ends[g];
  }
  sort_rows(plan, asking);
}

}  // namespace switchyard
