#include "tasks/metrics/bleu_words.h"

#include "text/unicode.h"

namespace switchyard {
namespace {

bool is_number(char32_t c) { return character_class(c) == CharacterClass::kNumber; }
bool is_punctuation(char32_t c) { return character_class(c) == CharacterClass::kPunctuation; }
bool is_digit(char32_t c) { return c >= U'0' && c <= U'9'; }
bool is_period_or_comma(char32_t c) { return c == U'.' || c == U','; }

/// Spaces around the characters for which `wanted` holds.
template <class Wanted>
std::u32string apart(std::u32string_view text, Wanted wanted) {
  std::u32string spaced;
  for (const char32_t c : text) {
    if (wanted(c)) {
      spaced += U' ';
      spaced += c;
      spaced += U' ';
    } else {
      spaced += c;
    }
  }
  return spaced;
}

/// Goes over pairs of neighbours that do not overlap, from the left, as a regular expression of two
/// characters does. Where `first` and `second` hold, spaces go around the second or the first.
enum class Around { kSecond, kFirst };
template <class First, class Second>
std::u32string pairs_apart(std::u32string_view text, First first, Second second, Around around) {
  std::u32string spaced;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i + 1 == text.size() || !first(text[i]) || !second(text[i + 1])) {
      spaced += text[i];
      continue;
    }
    if (around == Around::kFirst) spaced += U' ';
    spaced += text[i];
    spaced += U' ';
    spaced += text[++i];
    if (around == Around::kSecond) spaced += U' ';
  }
  return spaced;
}

std::u32string international(std::u32string text) {
  const auto no_number = [](char32_t c) { return !is_number(c); };
  const auto is_symbol = [](char32_t c) { return character_class(c) == CharacterClass::kSymbol; };
  text = pairs_apart(text, no_number, is_punctuation, Around::kSecond);
  text = pairs_apart(text, is_punctuation, no_number, Around::kFirst);
  return apart(text, is_symbol);
}

void replace_all(std::u32string& text, std::u32string_view from, std::u32string_view to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::u32string mteval_13a(std::u32string text) {
  replace_all(text, U"<skipped>", U"");
  replace_all(text, U"-\n", U"");
  replace_all(text, U"\n", U" ");
  replace_all(text, U"&quot;", U"\"");
  replace_all(text, U"&amp;", U"&");
  replace_all(text, U"&lt;", U"<");
  replace_all(text, U"&gt;", U">");
  text = U" " + text + U" ";
  // All ASCII punctuation but ' , - . of which the last three depend on digits beside them.
  text = apart(text, [](char32_t c) {
    return (c >= U'{' && c <= U'~') || (c >= U'[' && c <= U'`') || (c >= U' ' && c <= U'&') ||
           (c >= U'(' && c <= U'+') || (c >= U':' && c <= U'@') || c == U'/';
  });
  const auto no_digit = [](char32_t c) { return !is_digit(c); };
  text = pairs_apart(text, no_digit, is_period_or_comma, Around::kSecond);
  text = pairs_apart(text, is_period_or_comma, no_digit, Around::kFirst);
  return pairs_apart(
      text, is_digit, [](char32_t c) { return c == U'-'; }, Around::kSecond);
}

std::u32string without_space_at_end(std::u32string text) {
  while (!text.empty() && is_white_space(text.back())) text.pop_back();
  return text;
}

}  // namespace

std::vector<std::u32string> bleu_words(std::string_view line, BleuTokenizer tokenizer) {
  std::u32string text = without_space_at_end(decode_utf8(line));
  if (tokenizer == BleuTokenizer::kInternational) text = international(std::move(text));
  if (tokenizer == BleuTokenizer::k13a) text = mteval_13a(std::move(text));
  if (tokenizer == BleuTokenizer::kCharacters) text = apart(text, [](char32_t) { return true; });
  const auto words = split_white_space(text);
  return {words.begin(), words.end()};
}

}  // namespace switchyard
