#include "train/gradient_reduction.h"

#include <deque>
#include <vector>

#include "base/profile.h"

namespace switchyard {
namespace {

constexpr int64_t kSmall = 1 << 14;      // elements; smaller gradients travel together
constexpr int64_t kUnderWay = 64 << 20;  // bytes that may be under way at once, or one gradient

ElementType element_type(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? ElementType::kFloat64 : ElementType::kFloat32;
}

/// Sums over the ranks of a group, begun one by one, several under way.
class Sums {
 public:
  explicit Sums(Communicator& ranks) : ranks_(ranks) {}

  void start(const at::Tensor& tensor) {
    const auto bytes = static_cast<int64_t>(tensor.nbytes());
    while (!pending_.empty() && bytes_ + bytes > kUnderWay) wait_for_oldest();
    pending_.push_back(
        {ranks_.start_all_reduce(tensor.mutable_data_ptr(), tensor.numel(), element_type(tensor)),
         bytes});
    bytes_ += bytes;
  }
  void finish() {
    while (!pending_.empty()) wait_for_oldest();
  }

 private:
  struct Item {
    Pending sum;
    int64_t bytes;
  };

  void wait_for_oldest() {
    pending_.front().sum.wait();
    bytes_ -= pending_.front().bytes;
    pending_.pop_front();
  }

  Communicator& ranks_;
  std::deque<Item> pending_;
  int64_t bytes_ = 0;
};

/// Which parameters have a gradient on any rank.
std::vector<double> holders(Communicator& ranks, const ParameterSet& parameters) {
  std::vector<double> counts;
  for (const Parameter& parameter : parameters.all()) {
    counts.push_back(parameter.gradient().defined() ? 1 : 0);
  }
  ranks.sum(counts);
  return counts;
}

/// The gradient to add into the others', zeros if there is none here.
at::Tensor gradient_to_sum(Parameter& parameter) {
  const auto [gradient, there] = parameter.gradient_for_writing();
  if (!there) at::Tensor(gradient).zero_();
  return gradient;
}

void sum_together(Communicator& ranks, const std::vector<at::Tensor>& gradients) {
  if (gradients.empty()) return;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& gradient : gradients) flat.push_back(gradient.view(-1));
  const at::Tensor all = at::cat(flat);
  ranks.all_reduce(all.mutable_data_ptr(), all.numel(), element_type(all));
  int64_t begin = 0;
  for (at::Tensor& gradient : flat) {
    gradient.copy_(all.narrow(0, begin, gradient.numel()));
    begin += gradient.numel();
  }
}

}  // namespace

void reduce_gradients(const Mesh& mesh, ParameterSet& parameters) {
  Communicator& ranks = mesh.batch();
  if (ranks.size() == 1) return;
  const ProfileScope profile("gradient sums");
  const std::vector<double> counts = holders(ranks, parameters);
  Sums sums(ranks);
  std::vector<at::Tensor> small;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const at::Tensor gradient = gradient_to_sum(parameters.all()[i]);
    if (gradient.numel() < kSmall) {
      small.push_back(gradient);
    } else {
      sums.start(gradient);
    }
  }
  sum_together(ranks, small);
  sums.finish();
}

}  // namespace switchyard
