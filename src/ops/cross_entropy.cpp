#include "base/profile.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "ops/reference.h"

namespace switchyard::ops {

CrossEntropyResult cross_entropy(const at::Tensor& hidden, Parameter& table,
                                 const at::Tensor& targets, double scale, double z_weight) {
  const ProfileScope profile("cross-entropy forward");
  const auto plain = reference::cross_entropy(hidden, as_tensor(table), targets, scale);
  const at::Tensor z = plain.z_sum * z_weight;
  return {plain.loss_sum + (z - z.detach()), plain.z_sum.detach(), plain.correct,
          plain.token_log_probs};
}

}  // namespace switchyard::ops
