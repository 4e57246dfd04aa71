// Corpus chrF and chrF++ with sacreBLEU's numbers: n-grams of up to 6 characters without white
// space, for chrF++ also of up to 2 words; recall counts twice as much as precision.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

constexpr size_t kChrfCharacters = 6, kChrfWords = 2;

/// What chrF adds up over lines.
struct ChrfCounts {
  struct Order {
    int64_t given = 0, wanted = 0, matches = 0;
  };
  std::array<Order, kChrfCharacters + kChrfWords> orders;  // words last; unused for chrF

  ChrfCounts& operator+=(const ChrfCounts& other);
  /// From 0 to 100.
  double score() const;
};

/// Against the reference of the best score; at least one reference. Thread-safe.
ChrfCounts chrf_counts(const std::vector<std::string>& references, std::string_view prediction,
                       bool with_words);

}  // namespace switchyard
