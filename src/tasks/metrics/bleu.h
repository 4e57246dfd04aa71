// Corpus BLEU of up to four words, with sacreBLEU's numbers: exponential smoothing, several
// references, no effective order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/metrics/bleu_words.h"

namespace switchyard {

constexpr size_t kBleuOrder = 4;

/// What BLEU adds up over lines.
struct BleuCounts {
  std::array<int64_t, kBleuOrder> matches{}, given{};  // n-grams of n + 1 words
  int64_t prediction_words = 0;
  int64_t reference_words = 0;  // of the reference closest in length; of two the shorter

  BleuCounts& operator+=(const BleuCounts& other);
  /// From 0 to 100; 0 without any match, or where the predictions have no four words in a row.
  double score() const;
};

/// At least one reference. Thread-safe.
BleuCounts bleu_counts(const std::vector<std::string>& references, std::string_view prediction,
                       BleuTokenizer tokenizer);

}  // namespace switchyard
