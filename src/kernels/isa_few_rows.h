// For *_isa.cpp files only (see dispatch.h): what products of few rows share, whatever their
// weights are: how outputs are cut into panels, panels divided among threads, and sums written.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "kernels/few_row_product.h"
#include "kernels/isa_matrix.h"

namespace switchyard::kernels {
namespace {

constexpr int64_t kPanel = 64;     // outputs that a thread takes at a time
constexpr int64_t kRowBlock = 16;  // rows whose sums are made together

/// Sums of a block of rows and a panel of outputs: [kRowBlock, kPanel].
using Sums = float[kRowBlock * kPanel];

struct Panel {
  int64_t first, outputs;  // of the product, outputs <= kPanel
};

template <class Product>
void finish(const Product& in, const Panel& panel, int64_t first_row, int64_t rows,
            const float* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = first_row + r;
    const int64_t start = (in.places ? in.places[row] : row) * in.y_stride + panel.first;
    const float* own = sums + r * kPanel;
    const float factor = in.factors ? in.factors[row] : 1.0f;
    if (in.finish == FewRowFinish::kRelu) {
      auto* y = in.narrow + start;
      for (int64_t o = 0; o < panel.outputs; ++o) store(y + o, own[o] < 0 ? 0.0f : own[o]);
    } else if (in.finish == FewRowFinish::kAdd) {
      float* y = in.wide + start;
#pragma omp simd
      for (int64_t o = 0; o < panel.outputs; ++o) y[o] += factor * own[o];
    } else {
      float* y = in.wide + start;
#pragma omp simd
      for (int64_t o = 0; o < panel.outputs; ++o) y[o] = factor * own[o];
    }
  }
}

inline int64_t panels_of(int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

/// Panels begin .. end of one product.
template <class Multiplier, class Product>
void multiply_panels(const Product& in, int64_t begin, int64_t end) {
  const Multiplier multiplier(in);
  alignas(64) Sums sums;
  for (int64_t p = begin; p < end; ++p) {
    const Panel panel = {p * kPanel, std::min(kPanel, in.outputs - p * kPanel)};
    for (int64_t row = 0; row < in.rows; row += kRowBlock) {
      const int64_t rows = std::min(kRowBlock, in.rows - row);
      multiplier(panel, row, rows, sums);
      finish(in, panel, row, rows, sums);
    }
  }
}

/// Bytes of weights and work on them, for dividing among threads.
template <class Product>
int64_t cost_of(const Product& in) {
  const int64_t blocks = (in.rows + kRowBlock - 1) / kRowBlock;
  return in.depth * blocks;
}

/// Each thread takes a run of panels that follow each other, of equal cost. Multiplier(product)
/// is made by each thread for each product of which it has panels; called with (panel, first row,
/// rows, sums) it makes the sums of at most kRowBlock rows.
template <class Multiplier, class Product>
void few_row_products_by(const Product* list, int64_t count) {
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) total += cost_of(list[i]) * panels_of(list[i].outputs);
  if (total == 0) return;
#pragma omp parallel
  {
    const MatrixScope scope;
    const int64_t threads = omp_get_num_threads(), own = omp_get_thread_num();
    const int64_t from = total * own / threads, to = total * (own + 1) / threads;
    int64_t start = 0;  // cost before this product
    for (int64_t i = 0; i < count; ++i) {
      const int64_t cost = cost_of(list[i]), panels = panels_of(list[i].outputs);
      if (cost == 0) continue;
      const auto first_at = [&](int64_t bound) {
        return std::clamp<int64_t>((bound - start + cost - 1) / cost, 0, panels);
      };
      const int64_t begin = first_at(from), end = first_at(to);
      if (begin < end) multiply_panels<Multiplier>(list[i], begin, end);
      start += cost * panels;
    }
  }
}

}  // namespace
}  // namespace switchyard::kernels
