#include "tasks/metrics/answers.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "text/unicode.h"

namespace switchyard {
namespace {

constexpr std::u32string_view kAsciiPunctuation = U"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
constexpr std::u32string_view kQuotes = U"‘’´";

/// A space for each word a, an or the; \b of regular expressions parts words.
std::u32string without_articles(std::u32string_view text) {
  std::u32string rest;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_word_character(text[end])) ++end;
    const std::u32string_view word = text.substr(at, end - at);
    if (word == U"a" || word == U"an" || word == U"the") {
      rest += U' ';
    } else {
      rest += word;
    }
    if (end < text.size()) rest += text[end++];
    at = end;
  }
  return rest;
}

std::string normalize(std::string_view answer, std::u32string_view more_punctuation,
                      bool keep_spaces) {
  std::u32string text;
  for (const char32_t c : to_lower(decode_utf8(answer))) {
    const bool punctuation = kAsciiPunctuation.find(c) != kAsciiPunctuation.npos ||
                             more_punctuation.find(c) != more_punctuation.npos;
    if (!punctuation) {
      text += c;
    } else if (keep_spaces) {
      text += U' ';
    }
  }
  return encode_utf8(single_spaced(without_articles(text)));
}

double word_f1(const std::string& reference, const std::string& prediction) {
  const std::u32string reference_text = decode_utf8(reference);
  const std::u32string prediction_text = decode_utf8(prediction);
  const auto reference_words = split_white_space(reference_text);
  const auto prediction_words = split_white_space(prediction_text);
  std::map<std::u32string_view, int> left;
  for (const auto word : reference_words) ++left[word];
  int same = 0;
  for (const auto word : prediction_words) {
    if (left[word] > 0) {
      --left[word];
      ++same;
    }
  }
  if (same == 0) return 0;
  const double precision = double(same) / static_cast<double>(prediction_words.size());
  const double recall = double(same) / static_cast<double>(reference_words.size());
  return 2 * precision * recall / (precision + recall);
}

std::vector<std::string> runs_of_word_characters(std::string_view text) {
  std::u32string spaced = decode_utf8(text);
  for (char32_t& c : spaced) {
    if (!is_word_character(c)) c = U' ';
  }
  std::vector<std::string> words;
  for (const auto word : split_white_space(spaced)) words.push_back(encode_utf8(word));
  return words;
}

std::optional<size_t> whole_number(const std::string& text) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::set<std::u32string> words_without_determiners(std::string_view text) {
  static const std::set<std::u32string> determiners = {
      U"a",     U"an",    U"few",  U"her",   U"his",   U"each",  U"every",
      U"many",  U"much",  U"my",   U"our",   U"some",  U"that",  U"the",
      U"their", U"these", U"this", U"those", U"which", U"whose", U"your"};
  std::set<std::u32string> words;
  const std::u32string lower = to_lower(decode_utf8(text));
  for (const auto word : split_white_space(lower)) {
    if (!determiners.contains(std::u32string(word))) words.emplace(word);
  }
  return words;
}

}  // namespace

std::string normalize_squad(std::string_view answer) { return normalize(answer, {}, false); }
std::string normalize_trivia_qa(std::string_view answer) {
  return normalize(answer, kQuotes, true);
}

double exact_match(std::span<const std::string> references, const std::string& prediction) {
  return std::find(references.begin(), references.end(), prediction) != references.end() ? 1 : 0;
}

double word_f1(std::span<const std::string> references, const std::string& prediction) {
  double best = 0;
  for (const std::string& reference : references) {
    best = std::max(best, word_f1(reference, prediction));
  }
  return best;
}

std::string span_of_words(std::string_view context, std::string_view prediction) {
  const std::vector<std::string> parts = runs_of_word_characters(prediction);
  if (parts.size() < 4) return {};
  const auto first = whole_number(parts[1]), last = whole_number(parts[3]);
  if (!first || !last) return {};
  const std::vector<std::string> words = runs_of_word_characters(context);
  std::string span;
  for (size_t i = *first; i <= *last && i < words.size(); ++i) {
    if (!span.empty()) span += ' ';
    span += words[i];
  }
  return span;
}

std::optional<bool> names_referent(std::string_view referent, std::string_view prediction) {
  const auto wanted = words_without_determiners(referent);
  const auto said = words_without_determiners(prediction);
  if (said.empty()) return std::nullopt;
  const auto possessive = [](std::string_view text) { return text.find('\'') != text.npos; };
  if (possessive(referent) != possessive(prediction)) return false;
  return std::includes(wanted.begin(), wanted.end(), said.begin(), said.end()) ||
         std::includes(said.begin(), said.end(), wanted.begin(), wanted.end());
}

}  // namespace switchyard
