#include "base/profile.h"
#include "ops/ops.h"
#include "ops/reference.h"

namespace switchyard::ops {

at::Tensor attention(const AttentionInput& input) {
  const ProfileScope profile("attention forward");
  return reference::attention(input);
}

}  // namespace switchyard::ops
