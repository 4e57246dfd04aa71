#include "train/gradient_reducer.h"

#include <algorithm>

#include "base/format.h"
#include "base/hash.h"
#include "base/profile.h"
#include "model/parallel/element_type.h"

namespace switchyard {
namespace {

constexpr int64_t kSmall = 1 << 14;  // elements; smaller gradients travel together
constexpr size_t kSumsUnderWay = 64;
constexpr int64_t kUnderWay = 64 << 20;  // bytes that may be under way at once, or one gradient

/// The gradient to add into the others', zeros if there is none here.
at::Tensor gradient_to_sum(Parameter& parameter) {
  const auto [gradient, there] = parameter.gradient_for_writing();
  if (!there) at::Tensor(gradient).zero_();
  return gradient;
}

/// On how many ranks each parameter has a gradient.
std::vector<double> holders(Communicator& ranks, const std::vector<Parameter*>& parameters) {
  std::vector<double> counts;
  for (const Parameter* parameter : parameters) {
    counts.push_back(parameter->gradient().defined() ? 1 : 0);
  }
  ranks.sum(counts);
  return counts;
}

void sum_together(Communicator& ranks, const std::vector<at::Tensor>& gradients) {
  if (gradients.empty()) return;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& gradient : gradients) flat.push_back(gradient.view(-1));
  const at::Tensor all = at::cat(flat);
  all_reduce(all, ranks);
  int64_t begin = 0;
  for (at::Tensor& gradient : flat) {
    gradient.copy_(all.narrow(0, begin, gradient.numel()));
    begin += gradient.numel();
  }
}

}  // namespace

GradientReducer::GradientReducer(ParameterSet& parameters) : parameters_(parameters) {}

GradientReducer::~GradientReducer() { parameters_.set_gradient_listener(nullptr); }

Communicator& GradientReducer::ranks_of(const Parameter& parameter) const {
  const Mesh& mesh = parameters_.mesh();
  return parameter.is_stack() ? mesh.data() : mesh.batch();
}

void GradientReducer::begin() {
  if (parameters_.mesh().batch().size() == 1) return;
  state_ = learned_ ? State::kOverlapping : State::kLearning;
  seen_.clear();
  last_ = nullptr;
  next_ = 0;
  parameters_.set_gradient_listener(this);
}

// All writes before this one are done.
void GradientReducer::writing(Parameter& parameter) {
  // An op may write one gradient piece by piece: the output layer's does so chunk by chunk.
  if (starting_ || &parameter == last_) return;
  if (state_ == State::kOverlapping) start_complete();
  last_ = &parameter;
  const int writes = ++seen_[&parameter];
  TORCH_CHECK(state_ == State::kLearning || writes <= expected_[&parameter], parameter.name(),
              ": its gradient is written more often than in the first step");
  if (state_ != State::kLearning || parameter.frozen() || parameter.numel() < kSmall) return;
  std::erase(order_, &parameter);
  order_.push_back(&parameter);
}

void GradientReducer::start_complete() {
  while (next_ < order_.size() && seen_[order_[next_]] >= expected_[order_[next_]]) {
    start(*order_[next_++]);
  }
}

void GradientReducer::start(Parameter& parameter) {
  Communicator& ranks = ranks_of(parameter);
  if (ranks.size() == 1) return;
  starting_ = true;  // what is written now is no backward pass
  const at::Tensor gradient = gradient_to_sum(parameter);
  starting_ = false;
  const auto bytes = static_cast<int64_t>(gradient.nbytes());
  while (!under_way_.empty() &&
         (bytes_under_way_ + bytes > kUnderWay || under_way_.size() == kSumsUnderWay)) {
    wait_for_oldest();
  }
  under_way_.push_back({ranks.start_all_reduce(gradient.mutable_data_ptr(), gradient.numel(),
                                               element_type(gradient)),
                        bytes});
  bytes_under_way_ += bytes;
}

void GradientReducer::wait_for_oldest() {
  under_way_.front().sum.wait();
  bytes_under_way_ -= under_way_.front().bytes;
  under_way_.pop_front();
}

void GradientReducer::finish() {
  if (state_ == State::kIdle) return;
  const ProfileScope profile("gradient sums");
  if (state_ == State::kLearning) learn();
  while (next_ < order_.size()) start(*order_[next_++]);
  parameters_.set_gradient_listener(nullptr);
  std::vector<Parameter*> of_experts, others;  // small ones, and those that had no gradient then
  for (Parameter& parameter : parameters_.all()) {
    if (std::find(order_.begin(), order_.end(), &parameter) != order_.end()) continue;
    (parameter.is_stack() ? of_experts : others).push_back(&parameter);
  }
  reduce_rest(parameters_.mesh().batch(), others);
  reduce_rest(parameters_.mesh().data(), of_experts);
  while (!under_way_.empty()) wait_for_oldest();
  state_ = State::kIdle;
}

// Ranks that would not do the same begin nothing early.
void GradientReducer::learn() {
  std::string names;
  for (const Parameter* parameter : order_) {
    names += format("{} {}\n", parameter->name(), seen_[parameter]);
  }
  const auto own = static_cast<int64_t>(hash64(names) >> 1);
  Communicator& ranks = parameters_.mesh().all();
  const bool same = ranks.maximum(own) == own && -ranks.maximum(-own) == own;
  if (ranks.maximum(same ? 0 : 1) > 0) order_.clear();
  expected_ = seen_;
  learned_ = true;
}

void GradientReducer::reduce_rest(Communicator& ranks, const std::vector<Parameter*>& parameters) {
  if (ranks.size() == 1 || parameters.empty()) return;
  const std::vector<double> counts = holders(ranks, parameters);
  std::vector<at::Tensor> small;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    if (parameters[i]->numel() < kSmall) {
      small.push_back(gradient_to_sum(*parameters[i]));
    } else {
      start(*parameters[i]);
    }
  }
  sum_together(ranks, small);
}

}  // namespace switchyard
