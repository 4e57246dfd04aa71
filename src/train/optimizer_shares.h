// Which rank keeps the optimizer's state of which parameter, among the ranks that hold the same
// part of it (ZeRO stage 1, Rajbhandari et al. 2020): that rank updates it and tells the others.
#pragma once

#include <vector>

#include "model/parameter_set.h"

namespace switchyard {

class OptimizerShares {
 public:
  /// `shared`: parameters are dealt out, the largest first, to the ranks with the fewest numbers so
  /// far; else every rank keeps all. The same on all ranks. `parameters` must outlive it.
  OptimizerShares(ParameterSet& parameters, bool shared);

  bool is_shared() const { return !owners_.empty(); }
  /// Whether this rank updates parameter `index` of the set.
  bool is_own(std::size_t index) const;
  /// After the own ones have been updated: their new values come to all ranks, and each number of
  /// `sums`, one a parameter and 0 where another rank has it. Collective.
  void exchange(std::vector<double>& sums) const;

 private:
  Communicator& replicas(const Parameter& parameter) const;

  ParameterSet& parameters_;
  std::vector<int> owners_;  // rank among the replicas, by parameter; empty: not shared
};

}  // namespace switchyard
