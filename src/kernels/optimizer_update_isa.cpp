#include <omp.h>

#include <algorithm>
#include <cmath>

#include "kernels/isa_math.h"
#include "kernels/optimizer_update.h"
#include "kernels/scratch.h"

namespace switchyard::kernels {
namespace {

// Elements of a block: what one thread takes at a time and sums by itself. Fixed, so that sums come
// in the same order for any number of threads.
constexpr int64_t kBlock = 1 << 14;

float narrow(double value) { return static_cast<float>(value); }

template <bool kCompute>
double adamw_block(const AdamWUpdate& in, int64_t begin, int64_t end) {
  const float scale = narrow(in.gradient_scale), epsilon = narrow(in.epsilon);
  const float beta1 = narrow(in.beta1), beta2 = narrow(in.beta2);
  const float rest1 = narrow(1 - in.beta1), rest2 = narrow(1 - in.beta2);
  const float keep = narrow(1 - in.rate * in.decay);
  const float rate = narrow(in.rate / in.correction1);
  const float second_scale = narrow(1 / std::sqrt(in.correction2));
  const float* gradient = in.gradient;
  float *value = in.value, *first = in.first, *second = in.second;
  Bf16* compute = in.compute;
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = begin; i < end; ++i) {
    const float g = gradient[i] * scale;
    const float m = first[i] * beta1 + g * rest1;
    const float v = second[i] * beta2 + g * g * rest2;
    const float x = value[i] * keep - rate * m / (std::sqrt(v) * second_scale + epsilon);
    const float change = x - value[i];
    squares += change * change;
    first[i] = m;
    second[i] = v;
    value[i] = x;
    if constexpr (kCompute) store(compute + i, x);
  }
  return squares;
}

double sum_in_order(const double* parts, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += parts[i];
  return sum;
}

void adamw(const AdamWUpdate& in) {
  const int64_t blocks = (in.count + kBlock - 1) / kBlock;
  auto* parts =
      static_cast<double*>(scratch_bytes(0, static_cast<std::size_t>(blocks) * sizeof(double)));
  const auto block = in.compute ? adamw_block<true> : adamw_block<false>;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; ++b) {
    parts[b] = block(in, b * kBlock, std::min(in.count, (b + 1) * kBlock));
  }
  if (in.change_squares) *in.change_squares = sum_in_order(parts, blocks);
}

float row_squares(const float* x, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += x[i] * x[i];
  return sum;
}

// How the rows of a matrix are cut.
struct Blocks {
  int64_t num_rows, count;
};

// One matrix of an AdafactorUpdate, and what its passes hand on. Adafactor needs g three times: for
// the means of g^2, for the size of the update they give, and for the update.
struct Matrix {
  const AdafactorUpdate& in;
  const float* gradient;
  float *value, *rows, *columns, *moment;
  Bf16* compute;
  Blocks cut;
  double* value_sums;     // [num_blocks] sums of squares
  double* update_sums;    // [num_blocks]
  double* change_sums;    // [num_blocks] of what the values changed by
  float* column_sums;     // [num_blocks, C]
  float* column_factors;  // [C] 1 / sqrt(columns)
  float* row_factors;     // [R] 1 / sqrt(rows / their mean)

  int64_t first_row(int64_t block) const { return block * cut.num_rows; }
  int64_t last_row(int64_t block) const {
    return std::min(in.num_rows, (block + 1) * cut.num_rows);
  }
};

constexpr float kSmallestSquare = 1e-30f;

// Means of g^2 over rows, sums over the block's columns.
void means_of_block(Matrix& m, int64_t block) {
  const int64_t width = m.in.num_columns;
  const float scale = narrow(m.in.gradient_scale);
  float* column_sums = m.column_sums + block * width;
  for (int64_t c = 0; c < width; ++c) column_sums[c] = 0;
  for (int64_t r = m.first_row(block); r < m.last_row(block); ++r) {
    const float* gradient = m.gradient + r * width;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < width; ++c) {
      const float g = gradient[c] * scale;
      sum += g * g;
      column_sums[c] += g * g;
    }
    const double mean = static_cast<double>(sum) / static_cast<double>(width) + kSmallestSquare;
    m.rows[r] = narrow(m.in.beta2 * m.rows[r] + (1 - m.in.beta2) * mean);
  }
}

void finish_means(Matrix& m) {
  const int64_t width = m.in.num_columns, height = m.in.num_rows;
  const double beta2 = m.in.beta2;
  for (int64_t c = 0; c < width; ++c) {
    double sum = 0;
    for (int64_t b = 0; b < m.cut.count; ++b) sum += m.column_sums[b * width + c];
    const double mean = sum / static_cast<double>(height) + kSmallestSquare;
    m.columns[c] = narrow(beta2 * m.columns[c] + (1 - beta2) * mean);
    m.column_factors[c] = 1 / std::sqrt(m.columns[c]);
  }
  double sum = 0;
  for (int64_t r = 0; r < height; ++r) sum += m.rows[r];
  const float mean = narrow(sum / static_cast<double>(height));
  const float* rows = m.rows;
  float* factors = m.row_factors;
#pragma omp simd
  for (int64_t r = 0; r < height; ++r) factors[r] = std::sqrt(mean / rows[r]);
}

// A function of plain pointers: with those of a struct GCC 12 does not vectorize the sum.
float row_update_squares(const float* gradient, const float* column_factors, float scale,
                         int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < count; ++c) {
    const float u = gradient[c] * scale * column_factors[c];
    sum += u * u;
  }
  return sum;
}

double update_size_of_block(const Matrix& m, int64_t block) {
  const int64_t width = m.in.num_columns;
  const float scale = narrow(m.in.gradient_scale);
  double total = 0;
  for (int64_t r = m.first_row(block); r < m.last_row(block); ++r) {
    const float sum = row_update_squares(m.gradient + r * width, m.column_factors, scale, width);
    const double factor = m.row_factors[r];
    total += sum * factor * factor;
  }
  return total;
}

// How a row's step becomes its change.
struct Change {
  float keep;      // of the value, after decay
  float momentum;  // of the mean of steps
};

Change change_of(const AdafactorUpdate& in) {
  return {narrow(1 - in.rate * in.decay), narrow(in.momentum)};
}

template <bool kMoment, bool kCompute>
float update_row(const float* gradient, const float* column_factors, int64_t width, float step,
                 Change change, float* value, float* moment, Bf16* compute) {
  const float keep = change.keep, momentum = change.momentum;
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < width; ++c) {
    float delta = gradient[c] * column_factors[c] * step;
    if constexpr (kMoment) {
      delta = moment[c] * momentum + delta * (1 - momentum);
      moment[c] = delta;
    }
    const float x = value[c] * keep - delta;
    const float moved = x - value[c];
    squares += moved * moved;
    value[c] = x;
    if constexpr (kCompute) store(compute + c, x);
  }
  return squares;
}

double update_block(const Matrix& m, int64_t block, double rate) {
  const int64_t width = m.in.num_columns;
  const Change change = change_of(m.in);
  const auto update = m.moment ? (m.compute ? update_row<true, true> : update_row<true, false>)
                               : (m.compute ? update_row<false, true> : update_row<false, false>);
  double squares = 0;
  for (int64_t r = m.first_row(block); r < m.last_row(block); ++r) {
    const float step = narrow(rate * m.row_factors[r] * m.in.gradient_scale);
    const int64_t at = r * width;
    squares += update(m.gradient + at, m.column_factors, width, step, change, m.value + at,
                      m.moment ? m.moment + at : nullptr, m.compute ? m.compute + at : nullptr);
  }
  return squares;
}

// Not factored: the block's part of the running mean of g^2, and the size of its update.
double plain_means_of_block(const Matrix& m, int64_t block) {
  const int64_t width = m.in.num_columns;
  const float scale = narrow(m.in.gradient_scale);
  const float beta2 = narrow(m.in.beta2), rest = narrow(1 - m.in.beta2);
  double total = 0;
  for (int64_t r = m.first_row(block); r < m.last_row(block); ++r) {
    const float* gradient = m.gradient + r * width;
    float* mean = m.rows + r * width;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < width; ++c) {
      const float square = gradient[c] * scale * (gradient[c] * scale);
      const float updated = mean[c] * beta2 + (square + kSmallestSquare) * rest;
      mean[c] = updated;
      sum += square / updated;
    }
    total += sum;
  }
  return total;
}

double plain_update_block(const Matrix& m, int64_t block, double rate) {
  const int64_t width = m.in.num_columns;
  const Change change = change_of(m.in);
  const float keep = change.keep, momentum = change.momentum;
  const float step = narrow(rate * m.in.gradient_scale);
  const int64_t begin = m.first_row(block) * width, end = m.last_row(block) * width;
  const float *gradient = m.gradient, *mean = m.rows;
  float *value = m.value, *moment = m.moment;
  float squares = 0;
  if (moment) {
    const float rest = 1 - momentum;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = begin; i < end; ++i) {
      moment[i] = moment[i] * momentum + rest * step * gradient[i] / std::sqrt(mean[i]);
      const float x = value[i] * keep - moment[i];
      const float moved = x - value[i];
      squares += moved * moved;
      value[i] = x;
    }
  } else {
#pragma omp simd reduction(+ : squares)
    for (int64_t i = begin; i < end; ++i) {
      const float x = value[i] * keep - step * gradient[i] / std::sqrt(mean[i]);
      const float moved = x - value[i];
      squares += moved * moved;
      value[i] = x;
    }
  }
  if (!m.compute) return squares;
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) store(m.compute + i, value[i]);
  return squares;
}

// Rate of this matrix: clipped by the size of the update, relative to the size of the matrix.
double rate_of(const Matrix& m) {
  const auto count = static_cast<double>(m.in.num_rows * m.in.num_columns);
  const double size = std::sqrt(sum_in_order(m.update_sums, m.cut.count) / count);
  const double scale =
      m.in.scale_parameter
          ? std::max(1e-3, std::sqrt(sum_in_order(m.value_sums, m.cut.count) / count))
          : 1.0;
  return m.in.rate * scale / std::max(1.0, size / m.in.clip_threshold);
}

// Working memory of one matrix at a time.
struct Workspace {
  double* sums;    // [3, blocks]
  float* factors;  // [blocks + 1, C], [R]
};

void update_matrix(const AdafactorUpdate& in, int64_t index, const Blocks& cut,
                   const Workspace& workspace, bool parallel) {
  const int64_t width = in.num_columns, numel = in.num_rows * width, blocks = cut.count;
  const bool factored = in.columns != nullptr;
  Matrix m{in,
           in.gradient + index * numel,
           in.value + index * numel,
           in.rows + index * (factored ? in.num_rows : numel),
           factored ? in.columns + index * width : nullptr,
           in.moment ? in.moment + index * numel : nullptr,
           in.compute ? in.compute + index * numel : nullptr,
           cut,
           workspace.sums,
           workspace.sums + blocks,
           workspace.sums + 2 * blocks,
           workspace.factors,
           workspace.factors + blocks * width,
           workspace.factors + (blocks + 1) * width};
#pragma omp parallel for schedule(static) if (parallel)
  for (int64_t b = 0; b < blocks; ++b) {
    m.value_sums[b] = 0;
    for (int64_t r = m.first_row(b); in.scale_parameter && r < m.last_row(b); ++r) {
      m.value_sums[b] += row_squares(m.value + r * width, width);
    }
    if (factored) {
      means_of_block(m, b);
    } else {
      m.update_sums[b] = plain_means_of_block(m, b);
    }
  }
  if (factored) {
    finish_means(m);
#pragma omp parallel for schedule(static) if (parallel)
    for (int64_t b = 0; b < blocks; ++b) m.update_sums[b] = update_size_of_block(m, b);
  }
  const double rate = rate_of(m);
#pragma omp parallel for schedule(static) if (parallel)
  for (int64_t b = 0; b < blocks; ++b) {
    m.change_sums[b] = factored ? update_block(m, b, rate) : plain_update_block(m, b, rate);
  }
  if (in.change_squares) in.change_squares[index] = sum_in_order(m.change_sums, blocks);
}

// A matrix of this many elements or more is cut over the threads; smaller ones go whole to one
// thread each, so that all passes over one find it in the cache and no thread waits in between.
constexpr int64_t kLargeMatrix = 1 << 19;

Blocks blocks_of(const AdafactorUpdate& in) {
  Blocks cut{};
  cut.num_rows = std::max<int64_t>(1, kBlock / in.num_columns);
  cut.count = (in.num_rows + cut.num_rows - 1) / cut.num_rows;
  return cut;
}

bool is_large(const AdafactorUpdate& in) { return in.num_rows * in.num_columns >= kLargeMatrix; }

// The matrices of all updates, numbered in order: which update `number` belongs to.
struct Numbering {
  const AdafactorUpdate* updates;
  const int64_t* ends;  // numbers of update u end at ends[u]
  int64_t count;

  int64_t update_of(int64_t number) const {
    return std::upper_bound(ends, ends + count, number) - ends;
  }
};

void adafactor(const AdafactorUpdate* updates, int64_t count) {
  const int threads = omp_get_max_threads();
  auto* ends =
      static_cast<int64_t*>(scratch_bytes(2, static_cast<std::size_t>(count) * sizeof(int64_t)));
  int64_t matrices = 0, num_sums = 0, num_factors = 0;
  for (int64_t u = 0; u < count; ++u) {
    const AdafactorUpdate& in = updates[u];
    const int64_t blocks = blocks_of(in).count;
    num_sums = std::max(num_sums, 3 * blocks);
    num_factors = std::max(num_factors, (blocks + 1) * in.num_columns + in.num_rows);
    matrices += in.num_matrices;
    ends[u] = matrices;
  }
  auto* sums = static_cast<double*>(
      scratch_bytes(0, static_cast<std::size_t>(threads * num_sums) * sizeof(double)));
  auto* factors = static_cast<float*>(
      scratch_bytes(1, static_cast<std::size_t>(threads * num_factors) * sizeof(float)));
  const Numbering numbering{updates, ends, count};
#pragma omp parallel for schedule(dynamic)
  for (int64_t number = 0; number < matrices; ++number) {
    const int64_t u = numbering.update_of(number);
    if (is_large(updates[u])) continue;
    const int64_t own = omp_get_thread_num();
    update_matrix(updates[u], number - (ends[u] - updates[u].num_matrices), blocks_of(updates[u]),
                  {sums + own * num_sums, factors + own * num_factors}, /*parallel=*/false);
  }
  for (int64_t u = 0; u < count; ++u) {
    for (int64_t m = 0; is_large(updates[u]) && m < updates[u].num_matrices; ++m) {
      update_matrix(updates[u], m, blocks_of(updates[u]), {sums, factors}, /*parallel=*/true);
    }
  }
}

double squares(const float* x, int64_t count) {
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  auto* parts =
      static_cast<double*>(scratch_bytes(0, static_cast<std::size_t>(blocks) * sizeof(double)));
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t end = std::min(count, (b + 1) * kBlock);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = b * kBlock; i < end; ++i) {
      sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    parts[b] = sum;
  }
  return sum_in_order(parts, blocks);
}

}  // namespace

template <>
const OptimizerUpdateTable& table_of<OptimizerUpdateTable, kCompiledIsa>() {
  static constexpr OptimizerUpdateTable kTable = {adamw, adafactor, squares};
  return kTable;
}

}  // namespace switchyard::kernels
