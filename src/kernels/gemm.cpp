// Cuts products into units that threads take one by one, costliest first: of some cuts the one that
// should end first, so that uneven experts leave no thread idle and little is packed twice.
#include "kernels/gemm.h"

#include <omp.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

namespace switchyard::kernels {
namespace {

constexpr int64_t kColumnMultiple = 64;   // of the panels of all instruction sets
constexpr int64_t kRowMultiple = 96;      // of 32 and 48, the row blocks of the instruction sets
constexpr int64_t kCacheBytes = 1 << 20;  // of packed weights, half of a modern core's own cache
// The largest part of a weight gradient that is summed in the core's own cache.
constexpr int64_t kGradientColumns = 768;
constexpr int64_t kGradientRows[] = {384, 192, 128, 64};  // multiples of kSquareRows

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
int64_t round_up(int64_t value, int64_t multiple) { return divide_up(value, multiple) * multiple; }

// In steps of a product: packing an element costs as much as this many.
constexpr int64_t kPackTransposed = 64, kPackPlain = 32;

int64_t cost(const LayerProduct& call, const GemmUnit& unit) {
  const int64_t packing = call.transposed ? kPackTransposed : kPackPlain;
  return (unit.row_end - unit.row_begin + packing) * (unit.column_end - unit.column_begin) *
         call.depth * call.num_terms;
}
int64_t cost(const WeightGradient& call, const GemmUnit& unit) {
  const int64_t* group = call.groups.offsets + unit.group;
  const int64_t rows = unit.row_end - unit.row_begin, columns = unit.column_end - unit.column_begin;
  return (group[1] - group[0]) * (rows * columns + rows * kPackTransposed + columns * kPackPlain);
}

/// Sorts the units, costliest first, and returns when the last of the threads that take them one by
/// one will be done.
int64_t schedule(std::vector<GemmUnit>& units) {
  std::stable_sort(units.begin(), units.end(),
                   [](const GemmUnit& a, const GemmUnit& b) { return a.cost > b.cost; });
  // A heap whose top is the thread that is free first.
  std::vector<int64_t> busy(static_cast<size_t>(omp_get_max_threads()), 0);
  int64_t end = 0;
  for (const GemmUnit& unit : units) {
    std::pop_heap(busy.begin(), busy.end(), std::greater<>());
    end = std::max(end, busy.back() += unit.cost);
    std::push_heap(busy.begin(), busy.end(), std::greater<>());
  }
  return end;
}

struct Cut {
  int64_t width, tall;  // columns and rows of a unit, at most
  bool operator==(const Cut&) const = default;
};

void cut(const LayerProduct& call, const Cut& sizes, std::vector<GemmUnit>& units) {
  for (int64_t e = 0; e < call.groups.count; ++e) {
    const int64_t begin = call.groups.offsets[e], end = call.groups.offsets[e + 1];
    for (int64_t column = 0; column < call.columns; column += sizes.width) {
      for (int64_t row = begin; row < end; row += sizes.tall) {
        units.push_back({e, row, std::min(end, row + sizes.tall), column,
                         std::min(call.columns, column + sizes.width), 0, 0});
        units.back().cost = cost(call, units.back());
      }
    }
  }
}

int64_t square_blocks(const WeightGradient& call) { return divide_up(call.outputs, kSquareRows); }

void cut(const WeightGradient& call, const Cut& sizes, std::vector<GemmUnit>& units) {
  int64_t first_square = 0;  // of the group's rows in these columns
  for (int64_t e = 0; e < call.groups.count; ++e) {
    for (int64_t column = 0; column < call.inputs; column += sizes.width) {
      for (int64_t row = 0; row < call.outputs; row += sizes.tall) {
        units.push_back({e, row, std::min(call.outputs, row + sizes.tall), column,
                         std::min(call.inputs, column + sizes.width), 0,
                         first_square + row / kSquareRows});
        units.back().cost = cost(call, units.back());
      }
      first_square += square_blocks(call);
    }
  }
}

/// The units of that cut which ends first.
template <class Call>
void choose(const Call& call, const std::vector<Cut>& cuts, std::vector<GemmUnit>& best) {
  std::vector<GemmUnit> units;
  int64_t first_end = std::numeric_limits<int64_t>::max();
  for (const Cut& sizes : cuts) {
    units.clear();
    cut(call, sizes, units);
    const int64_t end = schedule(units);
    if (end >= first_end) continue;
    first_end = end;
    best.swap(units);
  }
}

std::vector<GemmUnit> plan(const LayerProduct& call) {
  const int64_t *offsets = call.groups.offsets, groups = call.groups.count;
  const int64_t panel_bytes =
      kColumnMultiple * std::max<int64_t>(call.depth * call.num_terms, 1) * int64_t{sizeof(Bf16)};
  const int64_t panels = std::max<int64_t>(1, divide_up(call.columns, kColumnMultiple));
  const int64_t widest = std::clamp<int64_t>(kCacheBytes / panel_bytes, 1, panels);
  int64_t longest = 1;  // rows of a group
  for (int64_t e = 0; e < groups; ++e) longest = std::max(longest, offsets[e + 1] - offsets[e]);
  std::vector<Cut> cuts;
  for (int64_t narrow = 1; narrow <= 8; narrow *= 2) {
    for (int64_t parts = omp_get_max_threads(); parts <= 8 * omp_get_max_threads(); parts *= 2) {
      const int64_t tall =
          std::min(longest, std::max<int64_t>(1, divide_up(offsets[groups], parts)));
      const Cut sizes = {divide_up(widest, narrow) * kColumnMultiple, round_up(tall, kRowMultiple)};
      if (std::find(cuts.begin(), cuts.end(), sizes) == cuts.end()) cuts.push_back(sizes);
    }
  }
  std::vector<GemmUnit> units;
  choose(call, cuts, units);
  return units;
}

/// `size` in equal parts, multiples of 64, of `largest` or, if that is no multiple, little more.
int64_t equal_part(int64_t size, int64_t largest) {
  const int64_t parts = divide_up(std::max<int64_t>(size, 1), largest);
  return std::max(kColumnMultiple, round_up(divide_up(size, parts), kColumnMultiple));
}

std::vector<GemmUnit> plan(const WeightGradient& call) {
  // The width does not depend on threads: squares are summed in the same order for any number.
  const int64_t width = equal_part(call.inputs, kGradientColumns);
  std::vector<Cut> cuts;
  for (const int64_t rows : kGradientRows) cuts.push_back({width, equal_part(call.outputs, rows)});
  std::vector<GemmUnit> units;
  choose(call, cuts, units);
  return units;
}

}  // namespace

void layer_product(const LayerProduct& arguments, Isa isa) {
  const std::vector<GemmUnit> units = plan(arguments);
  table<GemmTable>(isa).layer_product(arguments, units.data(), static_cast<int64_t>(units.size()));
}

double weight_gradient(const WeightGradient& arguments, Isa isa) {
  const std::vector<GemmUnit> units = plan(arguments);
  const int64_t column_parts =
      divide_up(arguments.inputs, equal_part(arguments.inputs, kGradientColumns));
  std::vector<double> squares(
      static_cast<size_t>(arguments.groups.count * column_parts * square_blocks(arguments)), 0.0);
  table<GemmTable>(isa).weight_gradient(arguments, units.data(), static_cast<int64_t>(units.size()),
                                        squares.data());
  return std::accumulate(squares.begin(), squares.end(), 0.0);
}

}  // namespace switchyard::kernels
