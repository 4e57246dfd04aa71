// Cuts products into units of about equal cost. Threads take them one by one, costliest first, so
// that uneven experts leave no thread idle for long.
#include "kernels/gemm.h"

#include <omp.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace switchyard::kernels {
namespace {

constexpr int64_t kPanel = 64;            // columns that are packed together
constexpr int64_t kCacheBytes = 1 << 20;  // of packed weights, half of a modern core's own cache
constexpr int64_t kUnitsPerThread = 4;    // enough to even out
constexpr int64_t kRowMultiple = 96;      // of 32 and 48, the row blocks of the instruction sets
constexpr int64_t kFewestRows = 192;      // below that, packing costs more than balance gains
constexpr int64_t kGradientRows = 512;    // of a weight gradient at a time
constexpr int64_t kFewestGradientRows = 64;

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
int64_t round_up(int64_t value, int64_t multiple) { return divide_up(value, multiple) * multiple; }

int64_t unit_rows(const GemmUnit& unit) { return unit.row_end - unit.row_begin; }

int64_t cost(const GemmUnit& unit) {
  constexpr int64_t kPacking = 64;  // packing a column costs as much as this many rows' products
  return (unit_rows(unit) + kPacking) * (unit.column_end - unit.column_begin);
}

void costliest_first(std::vector<GemmUnit>& units) {
  std::stable_sort(units.begin(), units.end(),
                   [](const GemmUnit& a, const GemmUnit& b) { return cost(a) > cost(b); });
}

void plan_product(const LayerProduct& call, std::vector<GemmUnit>& units) {
  const int64_t threads = omp_get_max_threads(), wanted = kUnitsPerThread * threads;
  const int64_t rows = call.groups.offsets[call.groups.count];
  const int64_t panel_bytes = kPanel * std::max<int64_t>(call.depth, 1) * int64_t{sizeof(Bf16)};
  const int64_t panels = divide_up(call.columns, kPanel);
  int64_t width = std::clamp<int64_t>(kCacheBytes / panel_bytes, 1, std::max<int64_t>(panels, 1));
  const int64_t row_units = std::max(call.groups.count, rows / kFewestRows);
  while (width > 1 && row_units * divide_up(panels, width) < wanted) width = divide_up(width, 2);
  const int64_t tall = std::max(
      kFewestRows, round_up(divide_up(rows * divide_up(panels, width), wanted), kRowMultiple));
  for (int64_t e = 0; e < call.groups.count; ++e) {
    const int64_t begin = call.groups.offsets[e], end = call.groups.offsets[e + 1];
    for (int64_t column = 0; column < call.columns; column += width * kPanel) {
      for (int64_t row = begin; row < end; row += tall) {
        units.push_back({e, row, std::min(end, row + tall), column,
                         std::min(call.columns, column + width * kPanel)});
      }
    }
  }
  costliest_first(units);
}

void plan_gradient(const WeightGradient& call, std::vector<GemmUnit>& units) {
  const int64_t wanted = kUnitsPerThread * omp_get_max_threads();
  int64_t tall = kGradientRows;
  while (tall > kFewestGradientRows && call.groups.count * divide_up(call.outputs, tall) < wanted) {
    tall /= 2;
  }
  for (int64_t e = 0; e < call.groups.count; ++e) {
    for (int64_t n = 0; n < call.outputs; n += tall) {
      units.push_back({e, call.groups.offsets[e], call.groups.offsets[e + 1], n,
                       std::min(call.outputs, n + tall)});
    }
  }
  costliest_first(units);
}

}  // namespace

void layer_product(const LayerProduct& arguments, Isa isa) {
  thread_local std::vector<GemmUnit> units;  // keeps its memory: a step allocates nothing
  units.clear();
  plan_product(arguments, units);
  table<GemmTable>(isa).layer_product(arguments, units.data(), static_cast<int64_t>(units.size()));
}

double weight_gradient(const WeightGradient& arguments, Isa isa) {
  thread_local std::vector<GemmUnit> units;
  thread_local std::vector<double> squares;
  units.clear();
  plan_gradient(arguments, units);
  squares.assign(units.size(), 0.0);
  table<GemmTable>(isa).weight_gradient(arguments, units.data(), static_cast<int64_t>(units.size()),
                                        squares.data());
  return std::accumulate(squares.begin(), squares.end(), 0.0);
}

}  // namespace switchyard::kernels
