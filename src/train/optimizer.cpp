#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/profile.h"
#include "kernels/optimizer_update.h"
#include "ops/kernel_pointers.h"
#include "train/optimizer_reference.h"
#include "train/rank_sums.h"
#include "train/sharded_adafactor.h"

namespace switchyard {
namespace {

// One of the independent matrices of a parameter (an expert), or the whole of it.
at::Tensor matrix_of(const at::Tensor& tensor, const Parameter& parameter, int64_t index) {
  return parameter.is_stack() ? tensor.select(0, index) : tensor;
}

int64_t matrix_dims(const Parameter& parameter) {
  return parameter.value().dim() - (parameter.is_stack() ? 1 : 0);
}

// Only matrices decay.
double decay_of(const OptimizerConfig& config, const Parameter& parameter) {
  return matrix_dims(parameter) > 1 ? config.weight_decay : 0.0;
}

// Whether ranks along `model` have parts of its matrices.
bool is_cut(const Parameter& parameter) {
  const TensorSlice& slice = parameter.slice();
  const size_t dims = slice.shape().size();
  return dims >= 2 && (slice.parts(dims - 1) > 1 || slice.parts(dims - 2) > 1);
}

// The slices of what is kept by row and by column.
TensorSlice slice_of_rows(const Parameter& parameter) {
  return parameter.slice().without(static_cast<size_t>(parameter.value().dim()) - 1);
}
TensorSlice slice_of_columns(const Parameter& parameter) {
  return parameter.slice().without(static_cast<size_t>(parameter.value().dim()) - 2);
}

// The kernels take float32 masters on the CPU; float64 ones (tests) take the plain way.
bool has_kernel(const Parameter& parameter) {
  return parameter.value().is_cpu() && parameter.value().scalar_type() == at::kFloat;
}

// The copy that the kernel writes too, null where products read the master itself.
kernels::Bf16* compute_pointer(const Parameter& parameter) {
  const bool copied = parameter.compute().scalar_type() == at::kBFloat16;
  return copied ? ops::write<kernels::Bf16>(parameter.compute()) : nullptr;
}

double squares_of_change(const Parameter& parameter, const at::Tensor& before) {
  return (parameter.value().detach() - before).square().sum().to(at::kDouble).item<double>();
}

class AdamW : public Optimizer {
 public:
  AdamW(const OptimizerConfig& config, ParameterSet& parameters, bool shared)
      : Optimizer(parameters, shared), config_(config) {
    for (Parameter& parameter : parameters.all()) {
      if (parameter.frozen() || !updates(slots_.size())) {
        slots_.push_back({&parameter, {}, {}, 0});
        continue;
      }
      const at::Tensor value = parameter.value().detach();
      slots_.push_back(
          {&parameter, at::zeros_like(value), at::zeros_like(value), decay_of(config_, parameter)});
    }
  }

  void update(double learning_rate, double gradient_scale) override {
    const ProfileScope profile("optimizer");
    change_squares_.assign(slots_.size(), 0.0);
    for (size_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[i];
      if (!slot.parameter->gradient().defined() || !updates(i)) continue;
      (has_kernel(*slot.parameter) ? fused : plain)(config_, slot, steps_done_, learning_rate,
                                                    gradient_scale, change_squares_[i]);
    }
  }

  std::vector<OptimizerTensor> layout() override {
    std::vector<OptimizerTensor> tensors;
    for (Slot& slot : slots_) {
      if (slot.parameter->frozen()) continue;
      const Parameter& parameter = *slot.parameter;
      for (const auto& [what, tensor] :
           {std::pair(".first_moment", slot.first), {".second_moment", slot.second}}) {
        tensors.push_back(
            {parameter.name() + what, tensor, parameter.slice(), parameter.is_stack()});
      }
    }
    return tensors;
  }

 private:
  struct Slot {
    Parameter* parameter;
    at::Tensor first, second;
    double decay;
  };

  static void fused(const OptimizerConfig& config, const Slot& slot, int64_t step, double rate,
                    double gradient_scale, double& change_squares) {
    const Parameter& parameter = *slot.parameter;
    kernels::AdamWUpdate update{};
    update.gradient = ops::read<float>(parameter.gradient());
    update.value = ops::write<float>(parameter.value().detach());
    update.first = ops::write<float>(slot.first);
    update.second = ops::write<float>(slot.second);
    update.compute = compute_pointer(parameter);
    update.count = parameter.numel();
    update.gradient_scale = gradient_scale;
    update.beta1 = config.beta1;
    update.beta2 = config.beta2;
    update.correction1 = 1 - std::pow(config.beta1, static_cast<double>(step));
    update.correction2 = 1 - std::pow(config.beta2, static_cast<double>(step));
    update.epsilon = config.epsilon;
    update.rate = rate;
    update.decay = slot.decay;
    update.change_squares = &change_squares;
    kernels::adamw_update(update);
  }

  static void plain(const OptimizerConfig& config, const Slot& slot, int64_t step, double rate,
                    double gradient_scale, double& change_squares) {
    Parameter& parameter = *slot.parameter;
    const at::Tensor before = parameter.value().detach().clone();
    reference::adamw(config, parameter.value().detach(), parameter.gradient() * gradient_scale,
                     slot.first, slot.second, step, rate, slot.decay);
    parameter.refresh_compute();
    change_squares = squares_of_change(parameter, before);
  }

  OptimizerConfig config_;
  std::vector<Slot> slots_;
};

class Adafactor : public Optimizer {
 public:
  Adafactor(const OptimizerConfig& config, ParameterSet& parameters, bool shared)
      : Optimizer(parameters, shared), config_(config), mesh_(parameters.mesh()) {
    for (Parameter& parameter : parameters.all()) {
      const bool kept = !parameter.frozen() && updates(slots_.size());
      slots_.push_back(kept ? make_slot(parameter) : Slot{&parameter, {}, {}, {}, 0});
      num_matrices_ += parameter.num_matrices();
    }
  }

  void update(double learning_rate, double gradient_scale) override {
    const ProfileScope profile("optimizer");
    updates_.clear();
    change_squares_.assign(slots_.size(), 0.0);
    matrix_squares_.assign(static_cast<size_t>(num_matrices_), 0.0);
    double* matrices = matrix_squares_.data();
    for (size_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[i];
      if (!updates(i)) {
        // another rank does
      } else if (slot.parameter->gradient().defined() && is_cut(*slot.parameter)) {
        change_squares_[i] = of_part(slot, learning_rate, gradient_scale);
      } else if (slot.parameter->gradient().defined() && has_kernel(*slot.parameter)) {
        updates_.push_back(
            kernel_update(config_, slot, steps_done_, learning_rate, gradient_scale));
        updates_.back().change_squares = matrices;
      } else if (slot.parameter->gradient().defined()) {
        change_squares_[i] = plain(config_, slot, steps_done_, learning_rate, gradient_scale);
      }
      matrices += slot.parameter->num_matrices();
    }
    kernels::adafactor_update(updates_.data(), static_cast<int64_t>(updates_.size()));
    matrices = matrix_squares_.data();
    for (size_t i = 0; i < slots_.size(); ++i) {
      double* const end = matrices + slots_[i].parameter->num_matrices();
      change_squares_[i] = std::accumulate(matrices, end, change_squares_[i]);
      matrices = end;
    }
  }

  std::vector<OptimizerTensor> layout() override {
    std::vector<OptimizerTensor> tensors;
    for (Slot& slot : slots_) {
      if (slot.parameter->frozen()) continue;
      const Parameter& parameter = *slot.parameter;
      const auto add = [&](const char* what, const at::Tensor& tensor, const TensorSlice& slice) {
        tensors.push_back({parameter.name() + what, tensor, slice, parameter.is_stack()});
      };
      if (is_factored(parameter)) {
        add(".second_moment_rows", slot.rows, slice_of_rows(parameter));
        add(".second_moment_columns", slot.columns, slice_of_columns(parameter));
      } else {
        add(".second_moment", slot.rows, parameter.slice());
      }
      if (config_.momentum > 0) add(".first_moment", slot.moment, parameter.slice());
    }
    return tensors;
  }

 private:
  struct Slot {
    Parameter* parameter;
    at::Tensor rows;     // [..., R] mean of g^2 over each row, or the shape of the parameter
    at::Tensor columns;  // [..., C], undefined where not factored
    at::Tensor moment;   // shape of the parameter, undefined without momentum
    double decay;
  };

  static kernels::AdafactorUpdate kernel_update(const OptimizerConfig& config, const Slot& slot,
                                                int64_t step, double rate, double gradient_scale) {
    const Parameter& parameter = *slot.parameter;
    const at::Tensor value = parameter.value().detach();
    kernels::AdafactorUpdate update{};
    update.gradient = ops::read<float>(parameter.gradient());
    update.value = ops::write<float>(value);
    update.rows = ops::write<float>(slot.rows);
    update.columns = ops::write<float>(slot.columns);
    update.moment = ops::write<float>(slot.moment);
    update.compute = compute_pointer(parameter);
    update.num_matrices = parameter.num_matrices();
    update.num_columns = value.size(-1);
    update.num_rows = value.numel() / (update.num_matrices * update.num_columns);
    update.gradient_scale = gradient_scale;
    update.beta2 = 1 - std::pow(static_cast<double>(step), -config.decay_exponent);
    update.clip_threshold = config.clip_threshold;
    update.scale_parameter = config.scale_parameter;
    update.rate = rate;
    update.decay = slot.decay;
    update.momentum = config.momentum;
    return update;
  }

  double of_part(const Slot& slot, double rate, double gradient_scale) const {
    Parameter& parameter = *slot.parameter;
    const at::Tensor before = parameter.value().detach().clone();
    sharded_adafactor(config_,
                      {parameter.value().detach(), parameter.gradient() * gradient_scale, slot.rows,
                       slot.columns, slot.moment, &parameter.slice(), slot.decay},
                      steps_done_, rate, mesh_.model());
    parameter.refresh_compute();
    return squares_of_change(parameter, before);
  }

  static double plain(const OptimizerConfig& config, const Slot& slot, int64_t step, double rate,
                      double gradient_scale) {
    Parameter& parameter = *slot.parameter;
    const at::Tensor before = parameter.value().detach().clone();
    const at::Tensor gradient = parameter.gradient() * gradient_scale;
    for (int64_t m = 0; m < parameter.num_matrices(); ++m) {
      reference::adafactor(
          config, matrix_of(parameter.value().detach(), parameter, m),
          matrix_of(gradient, parameter, m), matrix_of(slot.rows, parameter, m),
          slot.columns.defined() ? matrix_of(slot.columns, parameter, m) : at::Tensor(),
          slot.moment.defined() ? matrix_of(slot.moment, parameter, m) : at::Tensor(), step, rate,
          slot.decay);
    }
    parameter.refresh_compute();
    return squares_of_change(parameter, before);
  }

  bool is_factored(const Parameter& parameter) const {
    const std::vector<int64_t> whole = parameter.slice().whole_shape();
    return matrix_dims(parameter) == 2 &&
           std::min(whole.end()[-1], whole.end()[-2]) >= config_.min_dim_factored;
  }

  Slot make_slot(Parameter& parameter) const {
    const at::Tensor value = parameter.value().detach();
    const double decay = decay_of(config_, parameter);
    const at::Tensor moment = config_.momentum > 0 ? at::zeros_like(value) : at::Tensor();
    if (!is_factored(parameter)) {
      return {&parameter, at::zeros_like(value), at::Tensor(), moment, decay};
    }
    return {&parameter, at::zeros(slice_of_rows(parameter).shape(), value.options()),
            at::zeros(slice_of_columns(parameter).shape(), value.options()), moment, decay};
  }

  OptimizerConfig config_;
  const Mesh& mesh_;
  std::vector<Slot> slots_;
  int64_t num_matrices_ = 0;                       // of all parameters
  std::vector<kernels::AdafactorUpdate> updates_;  // of one step; kept for its memory
  std::vector<double> matrix_squares_;             // change_squares_, matrix by matrix
};

}  // namespace

std::vector<OptimizerTensor> Optimizer::state() {
  std::vector<OptimizerTensor> own = layout();
  std::erase_if(own, [](const OptimizerTensor& entry) { return !entry.tensor.defined(); });
  return own;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, ParameterSet& parameters,
                                          bool shared) {
  if (config.kind == "adamw") return std::make_unique<AdamW>(config, parameters, shared);
  return std::make_unique<Adafactor>(config, parameters, shared);
}

std::vector<double> gradient_squares(const ParameterSet& parameters) {
  const ProfileScope profile("gradient norm");
  std::vector<double> squares;
  squares.reserve(parameters.all().size());
  for (const Parameter& parameter : parameters.all()) {
    const at::Tensor gradient = parameter.gradient();
    if (!gradient.defined()) {
      squares.push_back(0);
    } else if (const auto counted = parameter.gradient_squares()) {
      squares.push_back(*counted);
    } else {
      squares.push_back(has_kernel(parameter)
                            ? kernels::sum_of_squares(ops::read<float>(gradient), gradient.numel())
                            : gradient.square().sum().to(at::kDouble).item<double>());
    }
  }
  sum_parts(parameters, squares);
  return squares;
}

void sum_parts(const ParameterSet& parameters, std::vector<double>& sums) {
  const Mesh& mesh = parameters.mesh();
  RankSums of_experts, of_matrices;
  for (size_t i = 0; i < sums.size(); ++i) {
    const Parameter& parameter = parameters.all()[i];
    if (parameter.is_stack()) of_experts.add(sums[i]);
    if (is_cut(parameter)) of_matrices.add(sums[i]);
  }
  of_experts.reduce(mesh.expert());
  of_matrices.reduce(mesh.model());
}

double gradient_norm(const ParameterSet& parameters) {
  return gradient_norm(gradient_squares(parameters));
}

double gradient_norm(const std::vector<double>& squares) {
  return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

double clip_factor(double norm, double clip_norm) {
  return clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1.0;
}

}  // namespace switchyard
