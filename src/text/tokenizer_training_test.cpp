#include "text/tokenizer_training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include "base/files.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"
#include "text/test_models.h"
#include "text/tokenizer.h"

namespace switchyard {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::made_up_lines;

TEST(TokenizerTraining, SizeCountsTheSentinels) {
  const testing::TemporaryFolder folder;
  for (const char* type : {"unigram", "bpe"}) {
    TokenizerTraining options;
    options.vocab_size = 300;
    options.model_type = type;
    write_file(folder / "model", train_tokenizer(options, made_up_lines()));
    const Tokenizer tokenizer(folder / "model");
    EXPECT_EQ(tokenizer.vocab_size(), 300) << type;
    EXPECT_EQ(tokenizer.num_pieces(), 200) << type;
  }
}

TEST(TokenizerTraining, TheSameTextGivesTheSameModelOnAnyNumberOfCores) {
  TokenizerTraining options;
  options.vocab_size = 300;
  const std::string model = train_tokenizer(options, made_up_lines());
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  EXPECT_TRUE(train_tokenizer(options, made_up_lines()) == model);
  ::sched_setaffinity(0, sizeof before, &before);
}

TEST(TokenizerTraining, TooLargeAVocabularyNamesTheLargest) {
  TokenizerTraining options;
  options.vocab_size = 5000;
  const std::vector<std::string> lines(20, "a few words again and again");
  const Error error = error_of([&] { train_tokenizer(options, lines); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_EQ(error.what_part(), "vocabulary larger than the text allows");
  EXPECT_EQ(error.where_part(), "--vocab-size 5000");
  ASSERT_THAT(error.hint_part(), HasSubstr("at most "));
  options.vocab_size = std::stoi(error.hint_part().substr(error.hint_part().rfind(' ')));
  EXPECT_NO_THROW(train_tokenizer(options, lines)) << "the size that the message names works";
  ++options.vocab_size;
  EXPECT_THROW(train_tokenizer(options, lines), Error) << "and is the largest";
}

TEST(TokenizerTraining, TooSmallAVocabularyNamesTheSmallest) {
  TokenizerTraining options;
  options.vocab_size = 110;
  const Error error = error_of([&] { train_tokenizer(options, made_up_lines()); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_EQ(error.what_part(), "vocabulary smaller than the text's set of characters");
  ASSERT_THAT(error.hint_part(), HasSubstr("give at least "));
  options.vocab_size = std::stoi(error.hint_part().substr(14));
  EXPECT_NO_THROW(train_tokenizer(options, made_up_lines()));
  options.vocab_size = 103;
  EXPECT_THAT(error_of([&] { train_tokenizer(options, made_up_lines()); }).what(),
              HasSubstr("vocabulary too small"));
}

TEST(TokenizerTraining, TextThatTeachesNothingIsRefused) {
  TokenizerTraining options;
  options.vocab_size = 200;
  EXPECT_EQ(error_of([&] { train_tokenizer(options, {}); }).kind(), ErrorKind::kUsage);
  for (const std::string& line :
       {std::string(" "), std::string("\u2581\u2581"), std::string("\0\0", 2), std::string("\t"),
        std::string("\xFF\xFE"), std::string("\uFFFD\uFFFD \uFFFD"), std::string("\u200b\u3000"),
        std::string("words beside \u2585")}) {
    const Error error = error_of([&] { train_tokenizer(options, {line, line}); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_EQ(error.what_part(), "no text to train a tokenizer on");
  }
}

// SentencePiece ends the process where it finds something wrong: that must not be reached.
TEST(TokenizerTraining, StrangeTextTrainsOrIsRefused) {
  const std::vector<std::string> pieces = {"a",      " ",
                                           "\u2581", "\uFFFD",
                                           "\u4e2d", "\u200b",
                                           "\u0301", "\t",
                                           "<unk>",  "</s>",
                                           "\u00ad", "\U0001F600",
                                           "\x01",   "<extra_id_1>",
                                           "0",      "\xFF",
                                           "\u2585", std::string("\0", 1)};
  for (uint64_t i = 0; i < 120; ++i) {
    const RandomStream random(1, kRandomTest, i);
    std::vector<std::string> lines(1 + random.below(0, 4));
    uint64_t draw = 0;
    for (std::string& line : lines) {
      const uint64_t first = random.below(++draw, pieces.size());
      for (uint64_t k = random.below(++draw, 6); k > 0; --k) {
        line += pieces[(first + random.below(++draw, 3)) % pieces.size()];
      }
    }
    TokenizerTraining options;
    options.vocab_size = 104 + static_cast<int32_t>(random.below(++draw, 12));
    options.model_type = i % 2 ? "bpe" : "unigram";
    options.byte_fallback = i % 5 == 0;
    try {
      train_tokenizer(options, lines);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
  }
}

TEST(TokenizerTraining, ByteFallbackLeavesNothingUnknown) {
  const testing::TemporaryFolder folder;
  TokenizerTraining options;
  options.vocab_size = 600;
  options.byte_fallback = true;
  write_file(folder / "model", train_tokenizer(options, made_up_lines()));
  const Tokenizer tokenizer(folder / "model");
  const std::string text = "bata \u4e2d\U0001F600 dolu \u0416";
  const auto ids = tokenizer.encode(text);
  EXPECT_THAT(ids, ::testing::Not(::testing::Contains(kUnknownId)));
  EXPECT_EQ(tokenizer.decode(ids), text);
}

// Sentinels in the training text must not become pieces: the model could not be read again.
TEST(TokenizerTraining, SentinelsInTheTextDoNotSpoilTheModel) {
  const testing::TemporaryFolder folder;
  std::vector<std::string> lines = made_up_lines();
  for (std::string& line : lines) line += " <extra_id_0> <extra_id_17><extra_id_99>";
  for (const char* type : {"unigram", "bpe"}) {
    TokenizerTraining options;
    options.vocab_size = 300;
    options.model_type = type;
    write_file(folder / "model", train_tokenizer(options, lines));
    EXPECT_EQ(Tokenizer(folder / "model").vocab_size(), 300) << type;
  }
}

}  // namespace
}  // namespace switchyard
