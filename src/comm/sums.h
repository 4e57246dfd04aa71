// Sums of what several ranks sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/communicator.h"

namespace switchyard {

/// out[i] = sum over r of parts[r][i], in the order of parts; bfloat16 is summed in float32 and
/// rounded once. `out` may be one of the parts. Throws std::logic_error for kByte.
void sum_parts(const std::vector<const std::byte*>& parts, std::byte* out, int64_t count,
               ElementType type);

}  // namespace switchyard
