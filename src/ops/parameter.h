// Parameter: one trained tensor with its float32 master, the copy that products read, and the
// gradient. Ops take parameters, not bare tensors, so that the precision policy lives in one place.
#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string>

#include "base/tensor_slice.h"

namespace switchyard {

/// How a parameter starts (paper section 2.4).
struct InitRule {
  enum class Kind { kConstant, kNormal, kTruncatedNormal };
  Kind kind = Kind::kConstant;
  double value = 1.0;  // the constant, or the standard deviation before truncation
};

class Parameter;

/// Is told when gradients are about to be written.
class GradientListener {
 public:
  virtual ~GradientListener() = default;
  /// By gradient_for_writing(), before this write; all earlier ones are done then.
  virtual void writing(Parameter& parameter) = 0;
};

/// Gradients do not go through autograd's .grad: the backward of an op calls add_gradient(), which
/// writes into one float32 buffer kept over steps. The optimizer reads `gradient`, then calls
/// clear_gradient(). Not thread-safe: one backward pass at a time.
class Parameter {
 public:
  /// `num_matrices` > 0: leading axis of independent matrices (experts), each factored and clipped
  /// by itself in the optimizer. `value` must be float32 or float64 (tests), or on the meta device.
  /// `slice`: which part of a whole parameter it is; by default all of it.
  Parameter(std::string name, at::Tensor value, InitRule init, int64_t num_matrices = 0,
            std::optional<TensorSlice> slice = std::nullopt);

  const std::string& name() const { return name_; }
  const InitRule& init() const { return init_; }
  /// Whether its first axis is one of independent matrices.
  bool is_stack() const { return num_matrices_ > 0; }
  /// Of this rank, as numel().
  int64_t num_matrices() const { return num_matrices_ > 0 ? num_matrices_ : 1; }
  int64_t numel() const { return value_.numel(); }
  /// What this rank has of the parameter; the other ranks of a mesh may hold the rest.
  const TensorSlice& slice() const { return slice_; }
  /// Master weights: a leaf with requires_grad, so that ops become part of the graph.
  const at::Tensor& value() const { return value_; }
  /// What forward and input-gradient products read: `value` itself, or its bfloat16 copy.
  const at::Tensor& compute() const { return compute_; }
  /// Makes compute() a copy in `type` (or the master itself if it is already of that type).
  void set_compute_type(at::ScalarType type);
  /// Copies value into compute; the optimizer's fused kernels write both and need not call it.
  void refresh_compute();

  /// Adds `gradient` (any float type, same shape) to the buffer; overwrites if it was cleared.
  void add_gradient(const at::Tensor& gradient);
  /// For ops that write the gradient in place: the float32 buffer (allocated on first use) and
  /// whether it must be accumulated into (true) or overwritten (false). Marks it as written.
  std::pair<at::Tensor, bool> gradient_for_writing();
  /// Undefined until the first gradient, after clear_gradient(), and of a frozen parameter.
  at::Tensor gradient() const { return has_gradient_ && !frozen_ ? gradient_ : at::Tensor(); }
  void clear_gradient() { has_gradient_ = false; }
  /// Null: nobody.
  void set_gradient_listener(GradientListener* listener) { listener_ = listener; }
  /// A frozen parameter has no gradient: no optimizer moves it, and its products are not computed
  /// where they are costly. Gradients flow on to what lies before it.
  void freeze() { frozen_ = true; }
  bool frozen() const { return frozen_; }
  /// Sum of squares of the gradient, where the op that wrote it counted along; empty after any
  /// other write. Saves the gradient norm a pass over memory.
  std::optional<double> gradient_squares() const { return gradient_squares_; }
  /// For that op, after gradient_for_writing().
  void set_gradient_squares(double sum) { gradient_squares_ = sum; }

 private:
  std::string name_;
  InitRule init_;
  int64_t num_matrices_;
  TensorSlice slice_;
  at::Tensor value_, compute_, gradient_;
  bool has_gradient_ = false;
  bool frozen_ = false;
  GradientListener* listener_ = nullptr;
  std::optional<double> gradient_squares_;
};

/// Copies the part of `whole` that `slice` says into `target`, which has as many numbers; both
/// contiguous, any float types.
void take_slice(const at::Tensor& whole, const TensorSlice& slice, const at::Tensor& target);
/// The other way: `part` into its places in `whole`.
void put_slice(const at::Tensor& part, const TensorSlice& slice, const at::Tensor& whole);

}  // namespace switchyard
