// Words as sacreBLEU cuts them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

enum class BleuTokenizer {
  kInternational,  // "intl": punctuation by Unicode, as mteval-v14; T5's choice
  k13a,            // "13a": as mteval-v13a, WMT's and sacreBLEU's default
  kCharacters,     // "char"
  kNone,           // white space alone
};

/// The words of a line. Thread-safe.
std::vector<std::u32string> bleu_words(std::string_view line, BleuTokenizer tokenizer);

}  // namespace switchyard
