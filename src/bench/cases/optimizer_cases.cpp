#include <memory>

#include "base/format.h"
#include "bench/cases/op_case.h"
#include "train/optimizer.h"
#include "train/optimizer_reference.h"

namespace switchyard {
namespace {

constexpr int64_t kExperts = 8, kInner = 3072, kModel = 768;  // wi of a layer of base8
constexpr double kRate = 1e-3;

struct Experts {
  ParameterSet parameters{at::kCPU, Precision::kBfloat16Selective};
  std::unique_ptr<Optimizer> optimizer;
};

std::shared_ptr<Experts> make_experts(const OptimizerConfig& config) {
  auto made = std::make_shared<Experts>();
  Parameter& wi = made->parameters.create("wi", {kExperts, kInner, kModel}, InitRule{}, true);
  wi.value().detach().normal_(0, 0.05);
  wi.refresh_compute();
  wi.gradient_for_writing().first.normal_(0, 1e-3);
  made->optimizer = make_optimizer(config, made->parameters);
  return made;
}

/// Plain LibTorch's side: copies of the parameter's tensors, and state of its own.
struct Plain {
  explicit Plain(const Parameter& parameter)
      : value(parameter.value().detach().clone()),
        gradient(parameter.gradient()),
        compute(parameter.compute().clone()) {}
  at::Tensor value, gradient, compute;
};

OpPair prepare_adamw() {
  OptimizerConfig config;
  config.kind = "adamw";
  const auto experts = make_experts(config);
  const Plain plain(experts->parameters.all().front());
  const at::Tensor first = at::zeros_like(plain.value), second = at::zeros_like(plain.value);
  const at::Tensor step = at::ones({});
  return {
      [=] {
        experts->optimizer->step(kRate, 1.0);
        return experts->parameters.all().front().compute();
      },
      [=] {
        at::_fused_adamw_({plain.value}, {plain.gradient}, {first}, {second}, {}, {step}, kRate,
                          config.beta1, config.beta2, config.weight_decay, config.epsilon,
                          /*amsgrad=*/false, /*maximize=*/false);
        return at::Tensor(plain.compute).copy_(plain.value);
      },
  };
}

OpPair prepare_adafactor() {
  OptimizerConfig config;
  config.kind = "adafactor";
  const auto experts = make_experts(config);
  const Plain plain(experts->parameters.all().front());
  const at::Tensor rows = at::zeros({kExperts, kInner}), columns = at::zeros({kExperts, kModel});
  return {
      [=] {
        experts->optimizer->step(kRate, 1.0);
        return experts->parameters.all().front().compute();
      },
      [=] {
        for (int64_t e = 0; e < kExperts; ++e) {
          reference::adafactor(config, plain.value.select(0, e), plain.gradient.select(0, e),
                               rows.select(0, e), columns.select(0, e), {}, 1, kRate,
                               config.weight_decay);
        }
        return at::Tensor(plain.compute).copy_(plain.value);
      },
  };
}

OpCase make_case(const char* kind, double bytes, OpPair (*prepare)()) {
  const auto weights = static_cast<double>(kExperts * kInner * kModel);
  OpCase c;
  c.name = format("{}/{}x{}x{}", kind, kExperts, kInner, kModel);
  c.type = "fp32";
  c.work.bytes = c.work.weight_bytes = bytes * weights;
  c.memory = 60 * weights;
  c.prepare = prepare;
  return c;
}

}  // namespace

std::vector<OpCase> optimizer_cases() {
  // Bytes of a weight: gradient read, master read and written, bfloat16 copy written; AdamW reads
  // and writes two moments too.
  return {make_case("adafactor", 4 + 8 + 2, prepare_adafactor),
          make_case("adamw", 4 + 8 + 2 + 16, prepare_adamw)};
}

}  // namespace switchyard
