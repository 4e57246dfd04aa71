// ParameterSet: all parameters of a model in creation order, by name.
#pragma once

#include <deque>
#include <string>

#include "base/tensor_slice.h"
#include "comm/mesh.h"
#include "model/config.h"
#include "ops/parameter.h"

namespace switchyard {

/// Owns the parameters; references stay valid for its lifetime. Names follow Hugging Face's, except
/// that the experts of a layer are one stacked parameter, `...mlp.experts.wi.weight` [E, F, D].
class ParameterSet {
 public:
  /// `device` may be meta: shapes only, for models too large for this machine.
  /// `mesh`: the ranks that hold the model together; must outlive the set. By default one.
  ParameterSet(at::Device device, Precision precision, const Mesh* mesh = nullptr);
  ParameterSet(const ParameterSet&) = delete;
  ParameterSet& operator=(const ParameterSet&) = delete;

  /// `stack`: the first axis is one of independent matrices (experts).
  Parameter& create(const std::string& name, const TensorSlice& slice, InitRule init,
                    bool stack = false);
  /// Draws every value from its rule: element i of the whole parameter depends on (seed, name, i)
  /// only.
  void initialize(uint64_t seed);

  std::deque<Parameter>& all() { return parameters_; }
  const std::deque<Parameter>& all() const { return parameters_; }
  Parameter* find(const std::string& name);
  /// Of this rank.
  int64_t numel() const;
  const Mesh& mesh() const { return *mesh_; }
  Precision precision() const { return precision_; }
  /// Copies all masters into their compute copies.
  void refresh_compute();
  void clear_gradients();
  void set_gradient_listener(GradientListener* listener);

 private:
  at::Device device_;
  Precision precision_;
  Mesh one_rank_;
  const Mesh* mesh_;
  std::deque<Parameter> parameters_;
};

}  // namespace switchyard
