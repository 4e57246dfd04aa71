// Products of layers without bias, bfloat16 in and float32 sums: dense ones and those of experts.
// A group is one weight matrix and the rows that it multiplies: an expert and its tokens, or a
// dense layer and all tokens. Weights are packed for the instruction set part by part, into cache,
// as they are used: no copy of them is kept.
// E: groups, R: rows of all groups, N: outputs, K: inputs of a weight matrix. All sizes >= 0, any
// alignment, no output may overlap an input. Uses the threads of OpenMP; results do not depend on
// their number, nor a row's on the other rows. Throws std::bad_alloc.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

/// Rows offsets[e] to offsets[e + 1] - 1 belong to group e; offsets[0] = 0.
struct RowGroups {
  const int64_t* offsets;  // [E + 1]
  int64_t count;           // E
};

enum class GemmFinish {
  kStore,
  kRelu,          // c = max(0, c)
  kReluGradient,  // c = where relu > 0, else 0
};

/// Rows and the weights that multiply them.
struct ProductTerm {
  const Bf16* a;  // [R, depth], rows a_stride elements apart
  int64_t a_stride;
  const Bf16* weights;  // [E, N, K]
};

/// Forward of a layer, c = a W^T, or its input gradient, c = a W; the sum of several terms, as the
/// gradient of rows that several layers read.
struct LayerProduct {
  RowGroups groups;
  int64_t columns, depth;  // of c and of a: N and K forward, K and N for the gradient
  const ProductTerm* terms;
  int64_t num_terms;  // >= 1
  bool transposed;    // forward
  GemmFinish finish;
  const Bf16* relu;  // [R, columns], for kReluGradient
  Bf16* c;           // [R, columns]
};

/// gradient = dy^T x of each group, or += that; groups without rows get 0.
struct WeightGradient {
  RowGroups groups;
  int64_t outputs, inputs;  // N, K
  const Bf16* dy;           // [R, N], rows dy_stride elements apart
  int64_t dy_stride;
  const Bf16* x;  // [R, K], rows x_stride elements apart
  int64_t x_stride;
  float* gradient;  // [E, N, K]
  bool accumulate;
};

/// The part of a result that one thread makes at a time, planned once for all instruction sets.
struct GemmUnit {
  int64_t group;
  int64_t row_begin, row_end;        // of c, or of the group's gradient
  int64_t column_begin, column_end;  // begins: multiples of 64, so are the rows' of a gradient
  int64_t cost;                      // in steps of a product
  int64_t first_square;              // of a gradient
};

inline constexpr int64_t kSquareRows = 64;  // of a gradient, whose squares are summed together

struct GemmTable {
  void (*layer_product)(const LayerProduct&, const GemmUnit*, int64_t units);
  /// squares: from a unit's first_square on the sums of squares of each kSquareRows of its rows.
  void (*weight_gradient)(const WeightGradient&, const GemmUnit*, int64_t units, double* squares);
};

void layer_product(const LayerProduct& arguments, Isa isa = best_isa());
/// -> the sum of squares of the whole gradient afterwards.
double weight_gradient(const WeightGradient& arguments, Isa isa = best_isa());

}  // namespace switchyard::kernels
