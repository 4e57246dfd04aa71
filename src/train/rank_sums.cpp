#include "train/rank_sums.h"

namespace switchyard {

void RankSums::add(LossSum& sum) {
  add(sum.sum);
  add(sum.count);
}

void RankSums::add(std::vector<RoutingStats>& routing) {
  for (RoutingStats& stats : routing) {
    for (double* number : {&stats.tokens, &stats.dropped, &stats.entropy_sum, &stats.confidence_sum,
                           &stats.balance, &stats.router_z, &stats.calls}) {
      add(*number);
    }
    for (double& load : stats.load) add(load);
  }
}

void RankSums::reduce(Communicator& ranks) const {
  if (ranks.size() == 1 || numbers_.empty()) return;
  std::vector<double> values;
  for (const double* number : numbers_) values.push_back(*number);
  ranks.sum(values);
  for (size_t i = 0; i < values.size(); ++i) *numbers_[i] = values[i];
}

}  // namespace switchyard
