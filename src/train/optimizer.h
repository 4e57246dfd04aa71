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
#include "train/recipe.h"

namespace switchyard {

/// A tensor of the optimizer's state. Aliases the live one: writing into it sets the state.
struct OptimizerTensor {
  std::string name;  // the parameter's name plus ".first_moment", ".second_moment", ...
  at::Tensor tensor;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Updates every parameter that has a gradient, from gradient * gradient_scale. Gradients stay.
  void step(double learning_rate, double gradient_scale) {
    if (before_update_) before_update_();
    ++steps_done_;
    update(learning_rate, gradient_scale);
  }
  /// `call` comes before each update, while weights and state are as the last one left them; if it
  /// throws, there is no update.
  void set_before_update(std::function<void()> call) { before_update_ = std::move(call); }

  /// Sum of squares of what the last step changed in each parameter, in the order of the set; 0 of
  /// one without a gradient.
  const std::vector<double>& change_squares() const { return change_squares_; }

  /// Everything but steps_done() that the next step depends on, in a fixed order.
  virtual std::vector<OptimizerTensor> state() = 0;
  /// Updates made so far; decides bias correction and decay.
  int64_t steps_done() const { return steps_done_; }
  void set_steps_done(int64_t steps) { steps_done_ = steps; }

 protected:
  /// steps_done_ counts this update already.
  virtual void update(double learning_rate, double gradient_scale) = 0;

  int64_t steps_done_ = 0;
  std::vector<double> change_squares_;

 private:
  std::function<void()> before_update_;
};

/// `parameters` must outlive the optimizer. The state is allocated here, zeros; none for parameters
/// that are frozen by now.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, ParameterSet& parameters);

/// Sum of squares of each parameter's gradient, in double, in the order of the set; 0 of one
/// without. Not finite where an element is not. Costs a pass over memory only for gradients whose
/// op did not count along.
std::vector<double> gradient_squares(const ParameterSet& parameters);

/// Euclidean norm over all gradients, summed in double.
double gradient_norm(const ParameterSet& parameters);
/// The same from gradient_squares().
double gradient_norm(const std::vector<double>& squares);

/// Factor that brings a gradient of norm `norm` to at most `clip_norm` (0: no limit).
double clip_factor(double norm, double clip_norm);

}  // namespace switchyard
