// How much text of each language a vocabulary is made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

/// Bytes to take of sources that hold `bytes` (each above 0): proportional to bytes^exponent,
/// together about the smaller of `budget` and all there is. A source may get more than it holds:
/// its lines are repeated.
std::vector<uint64_t> balanced_sizes(const std::vector<uint64_t>& bytes, double exponent,
                                     uint64_t budget);

/// `lines`, again and again from the first on, until they hold `size` bytes.
std::vector<std::string> repeat_lines(const std::vector<std::string>& lines, uint64_t size);

}  // namespace switchyard
