// What differs by the type of the weights, W: float, Bf16, or int8_t with scales.
#pragma once

#include <cstdint>
#include <type_traits>

#include "infer/engine/weights.h"
#include "kernels/bf16.h"
#include "kernels/few_row_product.h"
#include "kernels/int8_product.h"

namespace switchyard {

/// Of activations between products and of cached keys and values.
template <class W>
using ActivationOf = std::conditional_t<std::is_same_v<W, int8_t>, kernels::Bf16, W>;

template <class W>
using ProductOf =
    std::conditional_t<std::is_same_v<W, int8_t>, kernels::Int8Product, kernels::FewRowProduct<W>>;

/// Dense rows in the form that products with W read.
template <class W>
struct ProductRows {
  const W* values = nullptr;
  const float* scales = nullptr;  // of each row; int8_t only
  int64_t width = 0;

  ProductRows from(int64_t row) const {
    return {values + row * width, scales ? scales + row : nullptr, width};
  }
};

/// Columns of `wide` [rows, stride] = x W^T.
template <class W>
ProductOf<W> make_product(const Matrix& weights, const ProductRows<W>& x, int64_t rows, float* wide,
                          int64_t stride) {
  ProductOf<W> product = {};
  product.weights = static_cast<const W*>(weights.data);
  product.outputs = weights.outputs;
  product.depth = weights.inputs;
  product.x = x.values;
  product.rows = rows;
  product.finish = kernels::FewRowFinish::kStore;
  product.wide = wide;
  product.y_stride = stride;
  if constexpr (std::is_same_v<W, int8_t>) {
    product.scales = weights.scales;
    product.x_scales = x.scales;
  }
  return product;
}

}  // namespace switchyard
