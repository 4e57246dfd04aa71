// ROUGE as the package rouge_score computes it, without a stemmer. Words are runs of a-z and 0-9 of
// the lower-cased text: other scripts have none. F-measures from 0 to 1. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

struct Rouge {
  double rouge1 = 0, rouge2 = 0;  // of words and of pairs of words
  double rouge_l = 0;             // longest common subsequence of the texts
  double rouge_lsum = 0;          // its union over sentences, which are lines
};

std::vector<std::string> rouge_words(std::string_view text);

Rouge rouge(std::string_view reference, std::string_view prediction);
/// Of each measure the best over the references, of which there is at least one.
Rouge best_rouge(const std::vector<std::string>& references, std::string_view prediction);

}  // namespace switchyard
