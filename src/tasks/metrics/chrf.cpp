#include "tasks/metrics/chrf.h"

#include <algorithm>

#include "tasks/metrics/n_grams.h"
#include "text/unicode.h"

namespace switchyard {
namespace {

constexpr double kBetaSquared = 4;

using OrderCounts = std::array<NGramCounts, kChrfCharacters + kChrfWords>;

bool is_ascii_punctuation(char32_t c) {
  return (c >= U'!' && c <= U'/') || (c >= U':' && c <= U'@') || (c >= U'[' && c <= U'`') ||
         (c >= U'{' && c <= U'~');
}

/// Words with one mark of punctuation cut off, at the end rather than at the beginning.
std::vector<std::u32string> chrf_words(std::u32string_view text) {
  std::vector<std::u32string> words;
  for (const std::u32string_view word : split_white_space(text)) {
    size_t cut = 0;
    if (word.size() > 1 && is_ascii_punctuation(word.back())) {
      cut = word.size() - 1;
    } else if (word.size() > 1 && is_ascii_punctuation(word.front())) {
      cut = 1;
    }
    if (cut > 0) words.emplace_back(word.substr(0, cut));
    words.emplace_back(word.substr(cut));
  }
  return words;
}

OrderCounts n_grams_of(std::string_view line, bool with_words) {
  const std::u32string text = decode_utf8(line);
  std::u32string dense;
  for (const std::u32string_view word : split_white_space(text)) dense += word;
  OrderCounts counts;
  for (size_t n = 1; n <= kChrfCharacters; ++n) counts[n - 1] = character_n_grams(dense, n);
  if (!with_words) return counts;
  const auto words = chrf_words(text);
  for (size_t n = 1; n <= kChrfWords; ++n) {
    counts[kChrfCharacters + n - 1] = word_n_grams(words, n);
  }
  return counts;
}

ChrfCounts compare(const OrderCounts& reference, const OrderCounts& prediction) {
  ChrfCounts counts;
  for (size_t i = 0; i < reference.size(); ++i) {
    ChrfCounts::Order& order = counts.orders[i];
    for (const auto& [n_gram, count] : reference[i]) order.wanted += count;
    for (const auto& [n_gram, count] : prediction[i]) {
      // Where the reference is too short for the order, it does not count at all.
      if (!reference[i].empty()) order.given += count;
      const auto found = reference[i].find(n_gram);
      if (found != reference[i].end()) order.matches += std::min(count, found->second);
    }
  }
  return counts;
}

}  // namespace

ChrfCounts& ChrfCounts::operator+=(const ChrfCounts& other) {
  for (size_t i = 0; i < orders.size(); ++i) {
    orders[i].given += other.orders[i].given;
    orders[i].wanted += other.orders[i].wanted;
    orders[i].matches += other.orders[i].matches;
  }
  return *this;
}

double ChrfCounts::score() const {
  double precision = 0, recall = 0;
  int used = 0;
  for (const Order& order : orders) {
    if (order.given == 0 || order.wanted == 0) continue;
    precision += static_cast<double>(order.matches) / static_cast<double>(order.given);
    recall += static_cast<double>(order.matches) / static_cast<double>(order.wanted);
    ++used;
  }
  if (precision + recall == 0) return 0;
  precision /= used;
  recall /= used;
  return 100 * (1 + kBetaSquared) * precision * recall / (kBetaSquared * precision + recall);
}

ChrfCounts chrf_counts(const std::vector<std::string>& references, std::string_view prediction,
                       bool with_words) {
  const OrderCounts given = n_grams_of(prediction, with_words);
  ChrfCounts best;
  double best_score = -1;
  for (const std::string& reference : references) {
    const ChrfCounts counts = compare(n_grams_of(reference, with_words), given);
    const double score = counts.score();
    if (score > best_score) {
      best_score = score;
      best = counts;
    }
  }
  return best;
}

}  // namespace switchyard
