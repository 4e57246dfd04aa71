#include "infer/quantize_weights.h"

#include <algorithm>

#include "kernels/int8_product.h"

namespace switchyard {

void quantize_weights(const float* weights, int64_t rows, int64_t width, int8_t* integers,
                      float* scales) {
  kernels::quantize_rows(kernels::QuantizeRows<float>{weights, rows, width, integers, scales});
  std::replace(scales, scales + rows, 0.0f, 1.0f);
}

}  // namespace switchyard
