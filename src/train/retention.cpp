#include "train/retention.h"

#include <algorithm>
#include <set>

namespace switchyard {
namespace {

std::set<int64_t> best_steps(std::vector<CheckpointFacts> all, int64_t count) {
  std::erase_if(all, [](const CheckpointFacts& facts) { return !facts.quality; });
  std::stable_sort(all.begin(), all.end(), [](const CheckpointFacts& a, const CheckpointFacts& b) {
    return *a.quality > *b.quality;
  });
  std::set<int64_t> steps;
  for (const CheckpointFacts& facts : all) {
    if (static_cast<int64_t>(steps.size()) == count) break;
    steps.insert(facts.step);
  }
  return steps;
}

}  // namespace

std::vector<int64_t> superfluous_checkpoints(const std::vector<CheckpointFacts>& all,
                                             const RetentionPolicy& policy) {
  std::vector<int64_t> superfluous;
  const auto count = static_cast<int64_t>(all.size());
  if (policy.newest == 0) return superfluous;
  const std::set<int64_t> best = best_steps(all, policy.best);
  for (int64_t i = 0; i + policy.newest < count; ++i) {
    const int64_t step = all[static_cast<size_t>(i)].step;
    const bool kept = (policy.every > 0 && step % policy.every == 0) || best.contains(step);
    if (!kept) superfluous.push_back(step);
  }
  return superfluous;
}

}  // namespace switchyard
