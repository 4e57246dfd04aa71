// Cuts products into units that threads take one by one, costliest first: of some cuts the one that
// should end first, so that uneven experts leave no thread idle and little is packed twice.
#include "kernels/gemm.h"

#include <omp.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace switchyard::kernels {
namespace {

constexpr int64_t kPanel = 64;            // columns that are packed together
constexpr int64_t kCacheBytes = 1 << 20;  // of packed weights, half of a modern core's own cache
constexpr int64_t kRowMultiple = 96;      // of 32 and 48, the row blocks of the instruction sets
// The largest part of a weight gradient that is summed in the core's own cache.
constexpr int64_t kGradientRows = 384, kGradientColumns = 768;

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
int64_t round_up(int64_t value, int64_t multiple) { return divide_up(value, multiple) * multiple; }

int64_t unit_rows(const GemmUnit& unit) { return unit.row_end - unit.row_begin; }

// In steps of a product: packing an element costs as much as this many.
constexpr int64_t kPackTransposed = 64, kPackPlain = 32;

int64_t cost(const LayerProduct& call, const GemmUnit& unit) {
  const int64_t packing = call.transposed ? kPackTransposed : kPackPlain;
  return (unit_rows(unit) + packing) * (unit.column_end - unit.column_begin) * call.depth *
         call.num_inputs;
}
int64_t cost(const WeightGradient& call, const GemmUnit& unit) {
  const int64_t* group = call.groups.offsets + unit.group;
  const int64_t columns = unit.column_end - unit.column_begin;
  return (group[1] - group[0]) *
         (unit_rows(unit) * columns + unit_rows(unit) * kPackTransposed + columns * kPackPlain);
}

/// Sorts the units, costliest first, and returns when the last of the threads that take them one by
/// one will be done.
template <class Call>
int64_t schedule(const Call& call, std::vector<GemmUnit>& units) {
  std::stable_sort(units.begin(), units.end(), [&](const GemmUnit& a, const GemmUnit& b) {
    return cost(call, a) > cost(call, b);
  });
  std::vector<int64_t> busy(static_cast<size_t>(omp_get_max_threads()), 0);
  for (const GemmUnit& unit : units)
    *std::min_element(busy.begin(), busy.end()) += cost(call, unit);
  return *std::max_element(busy.begin(), busy.end());
}

void cut_product(const LayerProduct& call, int64_t width, int64_t tall,
                 std::vector<GemmUnit>& units) {
  for (int64_t e = 0; e < call.groups.count; ++e) {
    const int64_t begin = call.groups.offsets[e], end = call.groups.offsets[e + 1];
    for (int64_t column = 0; column < call.columns; column += width) {
      for (int64_t row = begin; row < end; row += tall) {
        units.push_back(
            {e, row, std::min(end, row + tall), column, std::min(call.columns, column + width)});
      }
    }
  }
}

void cut_gradient(const WeightGradient& call, int64_t width, int64_t tall,
                  std::vector<GemmUnit>& units) {
  for (int64_t e = 0; e < call.groups.count; ++e) {
    for (int64_t column = 0; column < call.inputs; column += width) {
      for (int64_t row = 0; row < call.outputs; row += tall) {
        units.push_back({e, row, std::min(call.outputs, row + tall), column,
                         std::min(call.inputs, column + width)});
      }
    }
  }
}

/// Keeps in `best` the units of the try that ends first. cut(i, units) makes try i.
template <class Call, class Cut>
void choose(const Call& call, int tries, const Cut& cut, std::vector<GemmUnit>& best) {
  thread_local std::vector<GemmUnit> units;
  int64_t first_end = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < tries; ++i) {
    units.clear();
    cut(i, units);
    const int64_t end = schedule(call, units);
    if (end >= first_end) continue;
    first_end = end;
    best.swap(units);
  }
}

void plan(const LayerProduct& call, std::vector<GemmUnit>& units) {
  const int64_t panel_bytes =
      kPanel * std::max<int64_t>(call.depth * call.num_inputs, 1) * int64_t{sizeof(Bf16)};
  const int64_t fitting = std::max<int64_t>(1, kCacheBytes / panel_bytes);
  const int64_t widest = std::min(fitting, std::max<int64_t>(1, divide_up(call.columns, kPanel)));
  const int64_t rows = call.groups.offsets[call.groups.count];
  // Try i halves the rows of a unit, then the columns.
  constexpr int kRowTries = 4, kColumnTries = 4;
  choose(
      call, kRowTries * kColumnTries,
      [&](int i, std::vector<GemmUnit>& cut) {
        const int64_t width = divide_up(widest, int64_t{1} << (i / kRowTries)) * kPanel;
        const int64_t parts = omp_get_max_threads() * (int64_t{1} << (i % kRowTries));
        const int64_t tall = round_up(std::max<int64_t>(1, divide_up(rows, parts)), kRowMultiple);
        cut_product(call, width, tall, cut);
      },
      units);
}

/// `size` in equal parts of at most `largest`, multiples of kPanel.
int64_t equal_part(int64_t size, int64_t largest) {
  return std::max(
      kPanel, round_up(divide_up(size, divide_up(std::max<int64_t>(size, 1), largest)), kPanel));
}

void plan(const WeightGradient& call, std::vector<GemmUnit>& units) {
  const int64_t width = equal_part(call.inputs, kGradientColumns);
  constexpr int kTries = 4;
  choose(
      call, kTries,
      [&](int i, std::vector<GemmUnit>& cut) {
        cut_gradient(call, width, equal_part(call.outputs, kGradientRows >> i), cut);
      },
      units);
}

}  // namespace

void layer_product(const LayerProduct& arguments, Isa isa) {
  thread_local std::vector<GemmUnit> units;  // keeps its memory: a step allocates nothing
  units.clear();
  plan(arguments, units);
  table<GemmTable>(isa).layer_product(arguments, units.data(), static_cast<int64_t>(units.size()));
}

double weight_gradient(const WeightGradient& arguments, Isa isa) {
  thread_local std::vector<GemmUnit> units;
  thread_local std::vector<double> squares;
  units.clear();
  plan(arguments, units);
  squares.assign(units.size(), 0.0);
  table<GemmTable>(isa).weight_gradient(arguments, units.data(), static_cast<int64_t>(units.size()),
                                        squares.data());
  return std::accumulate(squares.begin(), squares.end(), 0.0);
}

}  // namespace switchyard::kernels
