#include "train/optimizer_shares.h"

#include <algorithm>
#include <deque>
#include <numeric>

#include "base/profile.h"
#include "model/parallel/element_type.h"
#include "train/rank_sums.h"

namespace switchyard {

OptimizerShares::OptimizerShares(ParameterSet& parameters, bool shared) : parameters_(parameters) {
  if (!shared || parameters.mesh().batch().size() == 1) return;
  const auto& all = parameters.all();
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return all[a].numel() > all[b].numel(); });
  owners_.resize(all.size());
  // Experts have their replicas along `data` alone; those are among the ranks of the others.
  const MeshShape& shape = parameters.mesh().shape();
  std::vector<int64_t> load(static_cast<size_t>(shape.data * shape.expert), 0);
  for (const size_t i : order) {
    if (all[i].frozen()) continue;
    const int64_t width = all[i].is_stack() ? shape.expert : 1;
    const auto fullest = [&](size_t first) {
      const auto begin = load.begin() + static_cast<std::ptrdiff_t>(first);
      return *std::max_element(begin, begin + width);
    };
    size_t least = 0;
    for (size_t rank = 0; rank < load.size(); rank += static_cast<size_t>(width)) {
      if (fullest(rank) < fullest(least)) least = rank;
    }
    for (int64_t r = 0; r < width; ++r) load[least + static_cast<size_t>(r)] += all[i].numel();
    owners_[i] = static_cast<int>(least) / static_cast<int>(width);
  }
}

Communicator& OptimizerShares::replicas(const Parameter& parameter) const {
  const Mesh& mesh = parameters_.mesh();
  return parameter.is_stack() ? mesh.data() : mesh.batch();
}

bool OptimizerShares::is_own(size_t index) const {
  return owners_.empty() || owners_[index] == replicas(parameters_.all()[index]).rank();
}

void OptimizerShares::exchange(std::vector<double>& sums) const {
  if (owners_.empty()) return;
  const ProfileScope profile("new weights");
  constexpr size_t kUnderWay = 64;
  RankSums of_experts, others;
  std::deque<Pending> under_way;
  for (size_t i = 0; i < owners_.size(); ++i) {
    Parameter& parameter = parameters_.all()[i];
    if (!parameter.gradient().defined()) continue;
    if (under_way.size() == kUnderWay) {
      under_way.front().wait();
      under_way.pop_front();
    }
    const at::Tensor value = parameter.value().detach();
    under_way.push_back(replicas(parameter).start_broadcast(value.mutable_data_ptr(), value.numel(),
                                                            element_type(value), owners_[i]));
    (parameter.is_stack() ? of_experts : others).add(sums[i]);
  }
  for (Pending& pending : under_way) pending.wait();
  for (size_t i = 0; i < owners_.size(); ++i) {
    if (!is_own(i)) parameters_.all()[i].refresh_compute();
  }
  of_experts.reduce(parameters_.mesh().data());
  others.reduce(parameters_.mesh().batch());
}

}  // namespace switchyard
