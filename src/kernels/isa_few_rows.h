// For *_isa.cpp files only (see dispatch.h): what products of few rows share, whatever their
// weights are: how outputs are cut into panels, panels divided among threads, and sums written.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "kernels/few_row_product.h"
#include "kernels/isa_matrix.h"
#include "kernels/isa_vector.h"

namespace switchyard::kernels {
namespace {

constexpr int64_t kPanel = 64;     // outputs that a thread takes at a time
constexpr int64_t kRowBlock = 32;  // rows whose sums are made together

/// Sums of a block of rows and a panel of outputs: [kRowBlock, kPanel].
using Sums = float[kRowBlock * kPanel];

struct Panel {
  int64_t first, outputs;  // of the product, outputs <= kPanel
};

/// Sends sums where the product wants them.
template <class Product>
class Finish {
 public:
  explicit Finish(const Product& in) : in_(in) {}

  void sums(const Panel& panel, int64_t first_row, int64_t rows, const float* sums) const {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = first_row + r, start = place(row) + panel.first;
      const float* own = sums + r * kPanel;
      const float factor = factor_of(row);
      if (in_.finish == FewRowFinish::kRelu) {
        auto* y = in_.narrow + start;
        for (int64_t o = 0; o < panel.outputs; ++o) store(y + o, own[o] < 0 ? 0.0f : own[o]);
      } else if (in_.finish == FewRowFinish::kAdd) {
        float* y = in_.wide + start;
#pragma omp simd
        for (int64_t o = 0; o < panel.outputs; ++o) y[o] += factor * own[o];
      } else {
        float* y = in_.wide + start;
#pragma omp simd
        for (int64_t o = 0; o < panel.outputs; ++o) y[o] = factor * own[o];
      }
    }
  }

  /// kLanes outputs from `output` on, a vector for each row.
  void vectors(int64_t output, int64_t first_row, int64_t rows, const Vector* sums) const {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = first_row + r, start = place(row) + output;
      if (in_.finish == FewRowFinish::kRelu) {
        store_rounded(in_.narrow + start, sums[r] < Vector{} ? Vector{} : sums[r]);
      } else {
        float* y = in_.wide + start;
        const Vector own = factor_of(row) * sums[r];
        store_vector(y, in_.finish == FewRowFinish::kAdd ? load(y) + own : own);
      }
    }
  }

 private:
  int64_t place(int64_t row) const { return (in_.places ? in_.places[row] : row) * in_.y_stride; }
  float factor_of(int64_t row) const { return in_.factors ? in_.factors[row] : 1.0f; }

  const Product& in_;
};

inline int64_t panels_of(int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

/// Panels begin .. end of one product.
template <class Multiplier, class Product>
void multiply_panels(const Product& in, int64_t begin, int64_t end) {
  const int64_t together = Multiplier::most_rows(in);
  const Finish<Product> finish(in);
  for (int64_t first = 0; first < in.rows; first += together) {
    Multiplier multiplier(in, first, std::min(together, in.rows - first));
    for (int64_t p = begin; p < end; ++p) {
      const Panel panel = {p * kPanel, std::min(kPanel, in.outputs - p * kPanel)};
      multiplier.run(panel, p + 1 < end, finish);
    }
  }
}

/// Bytes of weights and work on them, for dividing among threads.
template <class Product>
int64_t cost_of(const Product& in) {
  constexpr int64_t kRows = 16;  // that cost no more than one
  return in.depth * ((in.rows + kRows - 1) / kRows);
}

/// Each thread takes a run of panels that follow each other, of equal cost. Each
/// thread makes a Multiplier(product, first row, rows) for each product of which it has panels (or
/// several, of most_rows(product) rows). run(panel, whether the next panel follows, finish) makes
/// the sums of a panel and hands them to finish.sums() or finish.vectors().
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
