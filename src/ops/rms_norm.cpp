#include "base/profile.h"
#include "ops/ops.h"
#include "ops/parameter_bridge.h"
#include "ops/reference.h"

namespace switchyard::ops {

at::Tensor rms_norm(const at::Tensor& x, Parameter& scale, double epsilon) {
  const ProfileScope profile("norm forward");
  return reference::rms_norm(x, as_tensor(scale), epsilon);
}

}  // namespace switchyard::ops
