#include "text/balanced_sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace switchyard {

std::vector<uint64_t> balanced_sizes(const std::vector<uint64_t>& bytes, double exponent,
                                     uint64_t budget) {
  const auto all = static_cast<double>(std::accumulate(bytes.begin(), bytes.end(), uint64_t{0}));
  std::vector<double> shares;
  shares.reserve(bytes.size());
  for (const uint64_t size : bytes) shares.push_back(std::pow(static_cast<double>(size), exponent));
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  const double total = std::min(all, static_cast<double>(budget));
  std::vector<uint64_t> sizes;
  sizes.reserve(shares.size());
  for (const double share : shares) sizes.push_back(static_cast<uint64_t>(total * share / sum));
  return sizes;
}

std::vector<std::string> repeat_lines(const std::vector<std::string>& lines, uint64_t size) {
  std::vector<std::string> repeated;
  uint64_t held = 0;
  for (size_t i = 0; held < size && !lines.empty(); ++i) {
    repeated.push_back(lines[i % lines.size()]);
    held += std::max<uint64_t>(1, repeated.back().size());
  }
  return repeated;
}

}  // namespace switchyard
