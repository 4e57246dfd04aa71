#include "tasks/metrics/bleu_words.h"

#include <gtest/gtest.h>

#include "text/unicode.h"

namespace switchyard {
namespace {

std::string cut(const std::string& line, BleuTokenizer tokenizer) {
  std::string joined;
  for (const std::u32string& word : bleu_words(line, tokenizer)) {
    joined += (joined.empty() ? "" : " ") + encode_utf8(word);
  }
  return joined;
}

TEST(BleuWords, International) {
  const auto intl = BleuTokenizer::kInternational;
  EXPECT_EQ(cut("Hello, world! 1,234.5 €20 (2019).", intl),
            "Hello , world ! 1,234.5 € 20 ( 2019 ) .");
  EXPECT_EQ(cut("In 2019.", intl),
            "In 2019.");  // nothing behind the period: it stays, as in mteval
  EXPECT_EQ(cut("«Да», сказал он…", intl), "« Да » , сказал он …");
  EXPECT_EQ(cut("你好。再见！", intl), "你好 。 再见 ！");
}

TEST(BleuWords, Mteval13a) {
  const auto mteval = BleuTokenizer::k13a;
  EXPECT_EQ(cut("Hello, world! 1,234.5 $20 (2019).", mteval),
            "Hello , world ! 1,234.5 $ 20 ( 2019 ) .");
  EXPECT_EQ(cut("In 2019.", mteval), "In 2019 .");
  EXPECT_EQ(cut("don't 5-year well-known &quot;x&amp;&lt;", mteval),
            "don't 5 - year well-known \" x & <");
  EXPECT_EQ(cut("a<skipped>b line-\nbreak two\nlines", mteval), "ab linebreak two lines");
}

TEST(BleuWords, CharactersAndNone) {
  EXPECT_EQ(cut("ab ç。\u3000", BleuTokenizer::kCharacters), "a b ç 。");
  EXPECT_EQ(cut(" a,  b\u00A0c ", BleuTokenizer::kNone), "a, b c");
  EXPECT_EQ(cut(" \n", BleuTokenizer::k13a), "");
}

}  // namespace
}  // namespace switchyard
