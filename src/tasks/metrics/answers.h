// Answers to questions, as SQuAD's and TriviaQA's scripts compare them. Thread-safe.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// Lower case, without ASCII punctuation and the words a, an, the, single spaces.
std::string normalize_squad(std::string_view answer);
/// The same, but punctuation (also ‘ ’ ´) becomes a space.
std::string normalize_trivia_qa(std::string_view answer);

/// 1 if equal, else 0; of the references the best. Texts already normalized.
double exact_match(std::span<const std::string> references, const std::string& prediction);
/// F1 of the bags of words; 0 where either has none, as T5 has it. Of the references the best.
double word_f1(std::span<const std::string> references, const std::string& prediction);

/// Words FIRST to LAST of `context` for a prediction such as "start: 3 end: 6", where words are
/// runs of word characters; empty for a prediction of another form.
std::string span_of_words(std::string_view context, std::string_view prediction);

/// Whether a prediction names the referent of a pronoun: one's words are among the other's, without
/// case and determiners, and both or none are possessive. Nothing if the prediction has no words.
std::optional<bool> names_referent(std::string_view referent, std::string_view prediction);

}  // namespace switchyard
