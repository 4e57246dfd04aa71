// The yardstick of every speed: how fast this machine multiplies matrices.
#pragma once

#include "model/config.h"

namespace switchyard {

/// FLOP/s of the product of two squares, in bfloat16 for the bf16 precisions, else float32, on the
/// threads set for LibTorch: the best of as many products, LibTorch's and our own, as fit in
/// `seconds`. The squares are 2048 wide, or smaller on a machine that would take too long for one.
double measure_gemm_rate(Precision precision, double seconds = 1.0);

}  // namespace switchyard
