#include "tasks/metrics/bleu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tasks/metrics/n_grams.h"

namespace switchyard {

BleuCounts& BleuCounts::operator+=(const BleuCounts& other) {
  for (size_t i = 0; i < kBleuOrder; ++i) {
    matches[i] += other.matches[i];
    given[i] += other.given[i];
  }
  prediction_words += other.prediction_words;
  reference_words += other.reference_words;
  return *this;
}

double BleuCounts::score() const {
  if (matches[0] == 0 || given[kBleuOrder - 1] == 0) return 0;
  double log_sum = 0, smoothing = 1;
  for (size_t i = 0; i < kBleuOrder; ++i) {
    const auto all = static_cast<double>(given[i]);
    if (matches[i] == 0) smoothing *= 2;  // NIST: 1/2, 1/4, ... of one match
    const double hits = matches[i] == 0 ? 1 / smoothing : static_cast<double>(matches[i]);
    log_sum += std::log(100 * hits / all);
  }
  const double ratio = static_cast<double>(reference_words) / static_cast<double>(prediction_words);
  const double brevity = ratio > 1 ? std::exp(1 - ratio) : 1;
  return brevity * std::exp(log_sum / static_cast<double>(kBleuOrder));
}

BleuCounts bleu_counts(const std::vector<std::string>& references, std::string_view prediction,
                       BleuTokenizer tokenizer) {
  const auto words = bleu_words(prediction, tokenizer);
  BleuCounts counts;
  counts.prediction_words = static_cast<int64_t>(words.size());
  std::array<NGramCounts, kBleuOrder> wanted;  // of each n-gram the most over references
  int64_t best_difference = std::numeric_limits<int64_t>::max();
  for (const std::string& reference : references) {
    const auto reference_words = bleu_words(reference, tokenizer);
    const auto size = static_cast<int64_t>(reference_words.size());
    const int64_t difference = std::abs(size - counts.prediction_words);
    if (difference < best_difference ||
        (difference == best_difference && size < counts.reference_words)) {
      best_difference = difference;
      counts.reference_words = size;
    }
    for (size_t i = 0; i < kBleuOrder; ++i) {
      for (const auto& [n_gram, count] : word_n_grams(reference_words, i + 1)) {
        int64_t& most = wanted[i][n_gram];
        most = std::max(most, count);
      }
    }
  }
  for (size_t i = 0; i < kBleuOrder; ++i) {
    for (const auto& [n_gram, count] : word_n_grams(words, i + 1)) {
      counts.given[i] += count;
      const auto found = wanted[i].find(n_gram);
      if (found != wanted[i].end()) counts.matches[i] += std::min(count, found->second);
    }
  }
  return counts;
}

}  // namespace switchyard
