// Counts of n-grams.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace switchyard {

using NGramCounts = std::unordered_map<std::u32string, int64_t>;

/// N-grams of words, which hold no spaces, joined by spaces.
inline NGramCounts word_n_grams(const std::vector<std::u32string>& words, size_t n) {
  NGramCounts counts;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    std::u32string joined = words[i];
    for (size_t j = 1; j < n; ++j) joined += U' ' + words[i + j];
    ++counts[std::move(joined)];
  }
  return counts;
}

inline NGramCounts character_n_grams(std::u32string_view text, size_t n) {
  NGramCounts counts;
  for (size_t i = 0; i + n <= text.size(); ++i) ++counts[std::u32string(text.substr(i, n))];
  return counts;
}

}  // namespace switchyard
