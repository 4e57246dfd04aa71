// Adds up, over the ranks that split a batch, the gradients of their backward passes, beside these
// passes: a gradient travels as soon as it is complete.
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "comm/communicator.h"
#include "model/parameter_set.h"

namespace switchyard {

/// Every gradient becomes its sum over the ranks of the mesh that have the same part of the
/// parameter and other rows: those along `data`, of what is no expert's along `expert` too. The
/// same bits on all of them. One that has none on this rank counts as 0; a parameter that had none
/// on any rank has none afterwards, or 0 if it had one in the first step. Costs nothing on one
/// rank. Used from one thread.
///
/// In the first step sums are made at its end, and the order in which gradients are completed is
/// taken down; from then on they are begun in that order, on all ranks alike.
class GradientReducer : private GradientListener {
 public:
  /// `parameters` must outlive it; one reducer at a time.
  explicit GradientReducer(ParameterSet& parameters);
  ~GradientReducer() override;
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Before the backward pass whose gradients are complete at its end: the last of a step.
  void begin();
  /// After it: all sums are made when it returns.
  void finish();

 private:
  enum class State { kIdle, kLearning, kOverlapping };
  struct UnderWay {
    Pending sum;
    int64_t bytes;
  };

  void writing(Parameter& parameter) override;
  void start_complete();
  void start(Parameter& parameter);
  void wait_for_oldest();
  void learn();
  void reduce_rest(Communicator& ranks, const std::vector<Parameter*>& parameters);
  Communicator& ranks_of(const Parameter& parameter) const;

  ParameterSet& parameters_;
  State state_ = State::kIdle;
  bool learned_ = false, starting_ = false;
  std::vector<Parameter*> order_;    // of large gradients, as they are completed
  const Parameter* last_ = nullptr;  // being written
  // How often each is written in a backward pass, counting writes in a row as one.
  std::unordered_map<const Parameter*, int> expected_;
  std::unordered_map<const Parameter*, int> seen_;  // in this one
  std::size_t next_ = 0;                            // of order_: what is begun next
  std::deque<UnderWay> under_way_;
  int64_t bytes_under_way_ = 0;
};

}  // namespace switchyard
