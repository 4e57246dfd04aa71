// ParameterSet: all parameters of a model in creation order, by name.
#pragma once

#include <deque>
#include <string>

#include "model/config.h"
#include "ops/parameter.h"

namespace switchyard {

/// Owns the parameters; references stay valid for its lifetime. Names follow Hugging Face's, except
/// that the experts of a layer are one stacked parameter, `...mlp.experts.wi.weight` [E, F, D].
class ParameterSet {
 public:
  /// `device` may be meta: shapes only, for models too large for this machine.
  ParameterSet(at::Device device, Precision precision);
  ParameterSet(const ParameterSet&) = delete;
  ParameterSet& operator=(const ParameterSet&) = delete;

  Parameter& create(const std::string& name, at::IntArrayRef shape, InitRule init,
                    int64_t num_matrices = 1);
  /// Draws every value from its rule: element i of a parameter depends on (seed, name, i) only.
  void initialize(uint64_t seed);

  std::deque<Parameter>& all() { return parameters_; }
  const std::deque<Parameter>& all() const { return parameters_; }
  Parameter* find(const std::string& name);
  int64_t numel() const;
  Precision precision() const { return precision_; }
  /// Copies all masters into their compute copies.
  void refresh_compute();
  void clear_gradients();

 private:
  at::Device device_;
  Precision precision_;
  std::deque<Parameter> parameters_;
};

}  // namespace switchyard
