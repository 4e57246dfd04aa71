// Matrices to 8 bits: as kernels/int8_product.h quantizes rows, but with a scale above zero for
// every row, which is what files hold.
#pragma once

#include <cstdint>

namespace switchyard {

/// `weights` [rows, width] to integers from -127 to 127, and scales [rows]: NaN for a row that has
/// a number that is not finite, 1 for a row of zeros.
void quantize_weights(const float* weights, int64_t rows, int64_t width, int8_t* integers,
                      float* scales);

}  // namespace switchyard
