// Optimizers over a ParameterSet: Adafactor (Shazeer and Stern 2018, as T5 uses it) and AdamW
// (Loshchilov and Hutter 2019). Updates also refresh the compute copies. Not thread-safe; the
// kernels use the threads of the OpenMP pool.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/parameter_set.h"
#include "train/optimizer_shares.h"
#include "train/recipe.h"

namespace switchyard {

/// A tensor of the optimizer's state. Aliases the live one: writing into it sets the state.
struct OptimizerTensor {
  std::string name;  // the parameter's name plus ".first_moment", ".second_moment", ...
  at::Tensor tensor;
  TensorSlice slice;   // of the whole that it is
  bool stack = false;  // the first axis is one of experts
};

class Optimizer {
 public:
  Optimizer(ParameterSet& parameters, bool shared) : shares_(parameters, shared) {}
  virtual ~Optimizer() = default;

  /// Updates every parameter that has a gradient, from gradient * gradient_scale. Gradients stay.
  void step(double learning_rate, double gradient_scale) {
    if (before_update_) before_update_();
    ++steps_done_;
    update(learning_rate, gradient_scale);
    shares_.exchange(change_squares_);
  }
  /// `call` comes before each update, while weights and state are as the last one left them; if it
  /// throws, there is no update.
  void set_before_update(std::function<void()> call) { before_update_ = std::move(call); }

  /// Sum of squares of what the last step changed in each parameter, of this rank's part, in the
  /// order of the set; 0 of one without a gradient.
  const std::vector<double>& change_squares() const { return change_squares_; }

  /// Everything but steps_done() that the next step depends on, in a fixed order; with shared state
  /// what this rank keeps of it.
  std::vector<OptimizerTensor> state();
  /// The same with all that the replicas of this rank's weights keep: tensors are undefined where
  /// another one has them.
  virtual std::vector<OptimizerTensor> layout() = 0;
  bool is_shared() const { return shares_.is_shared(); }
  /// Updates made so far; decides bias correction and decay.
  int64_t steps_done() const { return steps_done_; }
  void set_steps_done(int64_t steps) { steps_done_ = steps; }

 protected:
  /// steps_done_ counts this update already.
  virtual void update(double learning_rate, double gradient_scale) = 0;

  /// Of parameter `index` of the set: whether this rank updates it.
  bool updates(size_t index) const { return shares_.is_own(index); }

  int64_t steps_done_ = 0;
  std::vector<double> change_squares_;

 private:
  OptimizerShares shares_;
  std::function<void()> before_update_;
};

/// `parameters` must outlive the optimizer. The state is allocated here, zeros; none for parameters
/// that are frozen by now. `shared`: ranks with the same weights share out state and updates;
/// step() is then collective.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, ParameterSet& parameters,
                                          bool shared = false);

/// Sum of squares of each parameter's gradient, in double, in the order of the set; 0 of one
/// without. Not finite where an element is not. Costs a pass over memory only for gradients whose
/// op did not count along. Collective, see sum_parts().
std::vector<double> gradient_squares(const ParameterSet& parameters);

/// Of numbers of the parts that ranks hold of each parameter, in the order of the set, the sums
/// over the whole parameters. Collective over the ranks along `expert` and `model`.
void sum_parts(const ParameterSet& parameters, std::vector<double>& sums);

/// Euclidean norm over all gradients, summed in double.
double gradient_norm(const ParameterSet& parameters);
/// The same from gradient_squares().
double gradient_norm(const std::vector<double>& squares);

/// Factor that brings a gradient of norm `norm` to at most `clip_norm` (0: no limit).
double clip_factor(double norm, double clip_norm);

}  // namespace switchyard
