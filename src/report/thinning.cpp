#include "report/thinning.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace switchyard {
namespace {

// Marks the rows of [begin, end) with the least and the greatest value.
void mark_extremes(const std::vector<double>& column, size_t begin, size_t end,
                   std::vector<bool>& keep) {
  size_t least = end, greatest = end;
  for (size_t row = begin; row < end; ++row) {
    if (std::isnan(column[row])) continue;
    if (least == end || column[row] < column[least]) least = row;
    if (greatest == end || column[row] > column[greatest]) greatest = row;
  }
  if (least == end) return;
  keep[least] = keep[greatest] = true;
}

}  // namespace

std::vector<size_t> thin_rows(size_t rows, const std::vector<const std::vector<double>*>& columns,
                              size_t max_rows) {
  std::vector<size_t> kept;
  if (rows <= max_rows) {
    kept.resize(rows);
    std::iota(kept.begin(), kept.end(), size_t{0});
    return kept;
  }
  const size_t per_stretch = 2 * std::max<size_t>(columns.size(), 1);
  const size_t stretches = max_rows > 2 + per_stretch ? (max_rows - 2) / per_stretch : 1;
  std::vector<bool> keep(rows, false);
  keep.front() = keep.back() = true;
  for (size_t s = 0; s < stretches; ++s) {
    for (const auto* column : columns) {
      mark_extremes(*column, rows * s / stretches, rows * (s + 1) / stretches, keep);
    }
  }
  for (size_t row = 0; row < rows; ++row) {
    if (keep[row]) kept.push_back(row);
  }
  return kept;
}

}  // namespace switchyard
