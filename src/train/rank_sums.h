// Sums over ranks of numbers that lie here and there in results.
#pragma once

#include <vector>

#include "comm/communicator.h"
#include "model/loss_sum.h"
#include "model/moe/routing_stats.h"

namespace switchyard {

class RankSums {
 public:
  void add(double& number) { numbers_.push_back(&number); }
  void add(LossSum& sum);
  void add(std::vector<RoutingStats>& routing);
  /// Every number that was added becomes its sum over the ranks, in one message. All of them have
  /// added as many; the numbers must still be where they were.
  void reduce(Communicator& ranks) const;

 private:
  std::vector<double*> numbers_;
};

}  // namespace switchyard
