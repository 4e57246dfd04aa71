#include "tasks/wsc.h"

#include <cctype>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  size_t begin = 0;
  for (size_t end = text.find(' '); end != text.npos; end = text.find(' ', begin)) {
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  words.push_back(text.substr(begin));
  return words;
}

/// Whether a word is the pronoun, with nothing but punctuation behind it.
bool is_pronoun(const std::string& word, const std::string& pronoun) {
  if (!word.starts_with(pronoun)) return false;
  for (const char c : std::string_view(word).substr(pronoun.size())) {
    if (!std::ispunct(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

std::optional<size_t> nearest_pronoun(const std::vector<std::string>& words, size_t index,
                                      const std::string& pronoun) {
  for (size_t distance = 0; distance < words.size(); ++distance) {
    const size_t after = index + distance;
    if (after < words.size() && is_pronoun(words[after], pronoun)) return after;
    if (distance <= index && is_pronoun(words[index - distance], pronoun)) return index - distance;
  }
  return std::nullopt;
}

}  // namespace

std::string marked_pronoun(const std::string& text, size_t index, const std::string& pronoun) {
  std::vector<std::string> words = words_of(text);
  if (index >= words.size() || pronoun.empty()) {
    throw usage_error(format("the text has no word {}", index));
  }
  const auto at = nearest_pronoun(words, index, pronoun);
  if (!at) throw usage_error(format("the pronoun '{:.60}' is not in the text", pronoun));
  const std::string rest = words[*at].substr(pronoun.size());
  words[*at] = format("*{}*{}{}", pronoun, rest.empty() ? "" : " ", rest);
  return fmt::format("{}", fmt::join(words, " "));
}

}  // namespace switchyard
