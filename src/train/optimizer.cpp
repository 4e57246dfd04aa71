#include "train/optimizer.h"

#include <cmath>

#include "base/profile.h"
#include "train/optimizer_reference.h"

namespace switchyard {
namespace {

// One of the independent matrices of a parameter (an expert), or the whole of it.
at::Tensor matrix_of(const at::Tensor& tensor, const Parameter& parameter, int64_t index) {
  return parameter.num_matrices() > 1 ? tensor.select(0, index) : tensor;
}

int64_t matrix_dims(const Parameter& parameter) {
  return parameter.value().dim() - (parameter.num_matrices() > 1 ? 1 : 0);
}

class AdamW : public Optimizer {
 public:
  AdamW(const OptimizerConfig& config, ParameterSet& parameters) : config_(config) {
    for (Parameter& parameter : parameters.all()) {
      const at::Tensor value = parameter.value().detach();
      slots_.push_back({&parameter, at::zeros_like(value), at::zeros_like(value)});
    }
  }

  void step(double learning_rate, double gradient_scale) override {
    const ProfileScope profile("optimizer");
    ++steps_done_;
    for (Slot& slot : slots_) {
      const at::Tensor gradient = slot.parameter->gradient();
      if (!gradient.defined()) continue;
      const double decay = matrix_dims(*slot.parameter) > 1 ? config_.weight_decay : 0.0;
      reference::adamw(config_, slot.parameter->value().detach(), gradient * gradient_scale,
                       slot.first, slot.second, steps_done_, learning_rate, decay);
      slot.parameter->refresh_compute();
    }
  }

  std::vector<OptimizerTensor> state() override {
    std::vector<OptimizerTensor> tensors;
    for (Slot& slot : slots_) {
      tensors.push_back({slot.parameter->name() + ".first_moment", slot.first});
      tensors.push_back({slot.parameter->name() + ".second_moment", slot.second});
    }
    return tensors;
  }

 private:
  struct Slot {
    Parameter* parameter;
    at::Tensor first, second;
  };
  OptimizerConfig config_;
  std::vector<Slot> slots_;
};

class Adafactor : public Optimizer {
 public:
  Adafactor(const OptimizerConfig& config, ParameterSet& parameters) : config_(config) {
    for (Parameter& parameter : parameters.all()) slots_.push_back(make_slot(parameter));
  }

  void step(double learning_rate, double gradient_scale) override {
    const ProfileScope profile("optimizer");
    ++steps_done_;
    for (Slot& slot : slots_) {
      Parameter& parameter = *slot.parameter;
      if (!parameter.gradient().defined()) continue;
      const double decay = matrix_dims(parameter) > 1 ? config_.weight_decay : 0.0;
      const at::Tensor gradient = parameter.gradient() * gradient_scale;
      for (int64_t m = 0; m < parameter.num_matrices(); ++m) {
        reference::adafactor(
            config_, matrix_of(parameter.value().detach(), parameter, m),
            matrix_of(gradient, parameter, m), matrix_of(slot.rows, parameter, m),
            slot.columns.defined() ? matrix_of(slot.columns, parameter, m) : at::Tensor(),
            steps_done_, learning_rate, decay);
      }
      parameter.refresh_compute();
    }
  }

  std::vector<OptimizerTensor> state() override {
    std::vector<OptimizerTensor> tensors;
    for (Slot& slot : slots_) {
      const std::string& name = slot.parameter->name();
      if (slot.columns.defined()) {
        tensors.push_back({name + ".second_moment_rows", slot.rows});
        tensors.push_back({name + ".second_moment_columns", slot.columns});
      } else {
        tensors.push_back({name + ".second_moment", slot.rows});
      }
    }
    return tensors;
  }

 private:
  struct Slot {
    Parameter* parameter;
    at::Tensor rows;     // [..., R] mean of g^2 over each row, or the shape of the parameter
    at::Tensor columns;  // [..., C], undefined where not factored
  };

  Slot make_slot(Parameter& parameter) const {
    const at::Tensor value = parameter.value().detach();
    const int64_t least = config_.min_dim_factored;
    if (matrix_dims(parameter) != 2 || value.size(-1) < least || value.size(-2) < least) {
      return {&parameter, at::zeros_like(value), at::Tensor()};
    }
    std::vector<int64_t> rows = value.sizes().vec(), columns = rows;
    rows.pop_back();
    columns.erase(columns.end() - 2);
    return {&parameter, at::zeros(rows, value.options()), at::zeros(columns, value.options())};
  }

  OptimizerConfig config_;
  std::vector<Slot> slots_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, ParameterSet& parameters) {
  if (config.kind == "adamw") return std::make_unique<AdamW>(config, parameters);
  return std::make_unique<Adafactor>(config, parameters);
}

double gradient_norm(const ParameterSet& parameters) {
  const ProfileScope profile("gradient norm");
  double sum = 0;
  for (const Parameter& parameter : parameters.all()) {
    const at::Tensor gradient = parameter.gradient();
    if (gradient.defined()) sum += gradient.to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(sum);
}

double clip_factor(double norm, double clip_norm) {
  return clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1.0;
}

}  // namespace switchyard
