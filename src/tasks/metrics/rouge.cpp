#include "tasks/metrics/rouge.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <unordered_map>

#include "text/unicode.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;  // of words
using Numbering = std::unordered_map<std::string, int32_t>;

Ids numbered(std::string_view text, Numbering& numbers) {
  Ids ids;
  for (std::string& word : rouge_words(text)) {
    ids.push_back(
        numbers.emplace(std::move(word), static_cast<int32_t>(numbers.size())).first->second);
  }
  return ids;
}

std::vector<Ids> numbered_lines(std::string_view text, Numbering& numbers) {
  std::vector<Ids> lines;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) lines.push_back(numbered(text.substr(at, end - at), numbers));
    at = end + 1;
  }
  return lines;
}

double f_measure(size_t hits, size_t wanted, size_t given) {
  if (hits == 0) return 0;
  const double precision = static_cast<double>(hits) / static_cast<double>(given);
  const double recall = static_cast<double>(hits) / static_cast<double>(wanted);
  return 2 * precision * recall / (precision + recall);
}

double n_gram_score(const Ids& reference, const Ids& prediction, size_t n) {
  if (reference.size() < n || prediction.size() < n) return 0;
  std::map<Ids, int64_t> left;
  const auto n_gram = [n](const Ids& ids, size_t at) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(at);
    return Ids(begin, begin + static_cast<std::ptrdiff_t>(n));
  };
  for (size_t i = 0; i + n <= reference.size(); ++i) ++left[n_gram(reference, i)];
  size_t hits = 0;
  for (size_t i = 0; i + n <= prediction.size(); ++i) {
    const auto found = left.find(n_gram(prediction, i));
    if (found == left.end() || found->second == 0) continue;
    --found->second;
    ++hits;
  }
  return f_measure(hits, reference.size() - n + 1, prediction.size() - n + 1);
}

/// Lengths of the longest common subsequences of all beginnings.
class CommonLengths {
 public:
  CommonLengths(const Ids& a, const Ids& b)
      : columns_(b.size() + 1), lengths_((a.size() + 1) * columns_) {
    for (size_t i = 1; i <= a.size(); ++i) {
      for (size_t j = 1; j <= b.size(); ++j) {
        lengths_[i * columns_ + j] =
            a[i - 1] == b[j - 1] ? at(i - 1, j - 1) + 1 : std::max(at(i - 1, j), at(i, j - 1));
      }
    }
  }
  uint32_t at(size_t i, size_t j) const { return lengths_[i * columns_ + j]; }

 private:
  size_t columns_;
  std::vector<uint32_t> lengths_;
};

/// Marks the words of `reference` that are in its longest common subsequence with `prediction`; of
/// several the one that rouge_score takes.
void mark_common(const Ids& reference, const Ids& prediction, std::vector<bool>& marked) {
  const CommonLengths lengths(reference, prediction);
  size_t i = reference.size(), j = prediction.size();
  while (i > 0 && j > 0) {
    if (reference[i - 1] == prediction[j - 1]) {
      marked[--i] = true;
      --j;
    } else if (lengths.at(i, j - 1) > lengths.at(i - 1, j)) {
      --j;
    } else {
      --i;
    }
  }
}

double summary_score(const std::vector<Ids>& reference, const std::vector<Ids>& prediction) {
  std::unordered_map<int32_t, int64_t> wanted, given;
  size_t wanted_words = 0, given_words = 0;
  for (const Ids& line : reference) {
    wanted_words += line.size();
    for (const int32_t id : line) ++wanted[id];
  }
  for (const Ids& line : prediction) {
    given_words += line.size();
    for (const int32_t id : line) ++given[id];
  }
  size_t hits = 0;
  for (const Ids& line : reference) {
    std::vector<bool> marked(line.size());
    for (const Ids& other : prediction) mark_common(line, other, marked);
    for (size_t i = 0; i < line.size(); ++i) {
      // No word counts more often than it stands on both sides.
      if (!marked[i] || wanted[line[i]] == 0 || given[line[i]] == 0) continue;
      --wanted[line[i]];
      --given[line[i]];
      ++hits;
    }
  }
  return f_measure(hits, wanted_words, given_words);
}

}  // namespace

std::vector<std::string> rouge_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) words.push_back(word);
    word.clear();
  };
  for (const char32_t c : to_lower(decode_utf8(text))) {
    if ((c >= U'a' && c <= U'z') || (c >= U'0' && c <= U'9')) {
      word += static_cast<char>(c);
    } else {
      end_word();
    }
  }
  end_word();
  return words;
}

Rouge rouge(std::string_view reference, std::string_view prediction) {
  Numbering numbers;
  const Ids wanted = numbered(reference, numbers), given = numbered(prediction, numbers);
  const size_t common = CommonLengths(wanted, given).at(wanted.size(), given.size());
  return {n_gram_score(wanted, given, 1), n_gram_score(wanted, given, 2),
          f_measure(common, wanted.size(), given.size()),
          summary_score(numbered_lines(reference, numbers), numbered_lines(prediction, numbers))};
}

Rouge best_rouge(const std::vector<std::string>& references, std::string_view prediction) {
  Rouge best;
  for (const std::string& reference : references) {
    const Rouge one = rouge(std::string_view(reference), prediction);
    best = {std::max(best.rouge1, one.rouge1), std::max(best.rouge2, one.rouge2),
            std::max(best.rouge_l, one.rouge_l), std::max(best.rouge_lsum, one.rouge_lsum)};
  }
  return best;
}

}  // namespace switchyard
