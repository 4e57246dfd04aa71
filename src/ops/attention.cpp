#include "ops/ops.h"
#include "ops/reference.h"

namespace switchyard::ops {

at::Tensor attention(const AttentionInput& input) { return reference::attention(input); }

}  // namespace switchyard::ops
