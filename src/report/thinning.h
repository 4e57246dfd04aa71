// Fewer rows of a long log that still show every spike.
#pragma once

#include <cstddef>
#include <vector>

namespace switchyard {

/// Rows to keep, ascending, of `rows` rows with the given columns (each of length `rows`; NaN: no
/// value): all if they are no more than `max_rows`, else the first, the last and, for each of equal
/// stretches, those with the least and the greatest value of each column. At most
/// max(max_rows, 2 + 2 x columns) rows.
std::vector<size_t> thin_rows(size_t rows, const std::vector<const std::vector<double>*>& columns,
                              size_t max_rows);

}  // namespace switchyard
