#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <time.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "base/files.h"
#include "base/format.h"
#include "base/threads.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"
#include "text/test_models.h"

namespace switchyard {
namespace {

using ::testing::Contains;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Ids = std::vector<int32_t>;

/// Processor time of this thread.
double thread_seconds() {
  struct timespec time {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class TokenizerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<testing::TemporaryFolder>();
    write_file(*folder_ / "spiece.model", testing::small_model());
    tokenizer_ = std::make_unique<Tokenizer>(*folder_ / "spiece.model");
    ASSERT_TRUE(library_.Load(*folder_ / "spiece.model").ok());
  }
  static void TearDownTestSuite() {
    tokenizer_.reset();
    folder_.reset();
  }

  static std::string write_model(const std::string& bytes) {
    write_file(*folder_ / "other.model", bytes);
    return *folder_ / "other.model";
  }
  static Ids library_ids(std::string_view text) {
    std::vector<int> ids;
    EXPECT_TRUE(library_.Encode(text, &ids).ok());
    return ids;
  }

  static std::unique_ptr<testing::TemporaryFolder> folder_;
  static std::unique_ptr<Tokenizer> tokenizer_;
  static sentencepiece::SentencePieceProcessor library_;
};

std::unique_ptr<testing::TemporaryFolder> TokenizerTest::folder_;
std::unique_ptr<Tokenizer> TokenizerTest::tokenizer_;
sentencepiece::SentencePieceProcessor TokenizerTest::library_;

TEST_F(TokenizerTest, IdsAreT5s) {
  EXPECT_EQ(tokenizer_->piece(0), "<pad>");
  EXPECT_EQ(tokenizer_->piece(1), "</s>");
  EXPECT_EQ(tokenizer_->piece(2), "<unk>");
  EXPECT_EQ(tokenizer_->vocab_size(), 400);
  EXPECT_EQ(tokenizer_->num_pieces(), 300);
  EXPECT_EQ(tokenizer_->piece(399), "<extra_id_0>");
  EXPECT_EQ(tokenizer_->piece(300), "<extra_id_99>");
  for (int32_t i = 0; i < kNumSentinels; ++i) {
    EXPECT_EQ(tokenizer_->sentinel_id(i), 399 - i);
    EXPECT_TRUE(tokenizer_->is_sentinel(399 - i));
    EXPECT_EQ(tokenizer_->encode(format("<extra_id_{}>", i)), Ids{399 - i});
  }
  EXPECT_FALSE(tokenizer_->is_sentinel(299));
  EXPECT_FALSE(tokenizer_->is_sentinel(400));
  EXPECT_THROW(tokenizer_->piece(400), Error);
  EXPECT_THROW(tokenizer_->piece(-1), Error);
}

TEST_F(TokenizerTest, AgreesWithTheLibraryOnOrdinaryText) {
  for (const std::string& line : testing::made_up_lines()) {
    ASSERT_EQ(tokenizer_->encode(line), library_ids(line)) << line;
  }
  for (const char* text : {"", " ", "  two   spaces  ", "tab\tand\nline", "\u4e2d\u6587", "a",
                           "\ufb01ne \uff21\u3000\u00bd", "<unk> <s> </s> <pad>", "\u2581x"}) {
    EXPECT_EQ(tokenizer_->encode(text), library_ids(text)) << text;
  }
}

TEST_F(TokenizerTest, TextComesBack) {
  for (const std::string& line : testing::made_up_lines()) {
    ASSERT_EQ(tokenizer_->decode(tokenizer_->encode(line)), line);
  }
}

TEST_F(TokenizerTest, SentinelsStandForThemselves) {
  const Ids ids = tokenizer_->encode("bata <extra_id_0> dolu<extra_id_12>. <extra_id_99>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 399), 1);
  EXPECT_EQ(ids.back(), 300);
  EXPECT_EQ(tokenizer_->decode(ids), "bata<extra_id_0> dolu<extra_id_12>.<extra_id_99>");
  // What stands between sentinels is cut as it is without them.
  Ids expected = tokenizer_->encode("bata");
  expected.push_back(399);
  const Ids after = tokenizer_->encode("dolu");
  expected.insert(expected.end(), after.begin(), after.end());
  EXPECT_EQ(tokenizer_->encode("bata <extra_id_0> dolu"), expected);
  EXPECT_EQ(tokenizer_->encode("<extra_id_0><extra_id_0>"), (Ids{399, 399}));
}

TEST_F(TokenizerTest, AlmostSentinelsAreText) {
  for (const char* text : {"<extra_id_100>", "<extra_id_00>", "<extra_id_01>", "<extra_id_>",
                           "<extra_id_5", "<extra_id_-1>", "<EXTRA_ID_1>"}) {
    EXPECT_EQ(tokenizer_->encode(text), library_ids(text)) << text;
  }
  EXPECT_EQ(tokenizer_->encode("<extra_id_<extra_id_3>").back(), 396);
}

TEST_F(TokenizerTest, DocumentsHoldNoSentinels) {
  Ids ids = {7};
  tokenizer_->encode_document("bata <extra_id_0> dolu", ids);
  EXPECT_EQ(ids.front(), 7) << "appended";
  for (const int32_t id : ids) EXPECT_FALSE(tokenizer_->is_sentinel(id));
}

TEST_F(TokenizerTest, DecodeTakesAnyIds) {
  constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(tokenizer_->decode(Ids{}), "");
  EXPECT_EQ(tokenizer_->decode(Ids{0, 1, 0}), "");
  for (const int32_t id : {2, -1, 400, kMost, -kMost - 1}) {
    EXPECT_THAT(tokenizer_->decode(Ids{id}), HasSubstr("\u2047")) << id;
  }
  const Ids bata = tokenizer_->encode("bata");
  Ids padded = bata;
  padded.insert(padded.end(), {1, 0, 0});
  EXPECT_EQ(tokenizer_->decode(padded), "bata");
}

TEST_F(TokenizerTest, InvalidUtf8IsUnknownNeverACrash) {
  for (const std::string& text : {std::string("\xFF"), std::string("ba\xC3"), std::string("\x80ta"),
                                  std::string("a\0b", 3), std::string("\xED\xA0\x80 bata")}) {
    const Ids ids = tokenizer_->encode(text);
    for (const int32_t id : ids) EXPECT_TRUE(id >= 0 && id < 300);
    tokenizer_->decode(ids);
  }
  EXPECT_THAT(tokenizer_->encode("\xFF"), Contains(kUnknownId));
}

TEST_F(TokenizerTest, LongTextIsTheSameInParts) {
  std::string text;
  for (int i = 0; text.size() < 1500000; ++i) {
    text += i % 11 ? "bata dolu " : i % 3 ? "\u00e9t\u00e9  \n" : "k\u00f6l\t";
  }
  const Ids ids = tokenizer_->encode(text);
  EXPECT_TRUE(ids == library_ids(text));
}

TEST_F(TokenizerTest, LongTextTakesBoundedMemory) {
  std::string text;
  while (text.size() < (4 << 20)) text += "batadolu kelo. ";
  const std::string no_space(1 << 20, 'a');
  Ids ids;
  ids.reserve(text.size() + no_space.size());
  std::fill_n(std::back_inserter(ids), ids.capacity(), 0);  // so that only what is beyond grows
  ids.clear();
  tokenizer_->encode("warm", ids);
  const auto before = peak_memory();
  tokenizer_->encode(text, ids);
  tokenizer_->encode(no_space, ids);
  EXPECT_GT(ids.size(), 1u << 20);
#ifndef __SANITIZE_ADDRESS__  // it keeps freed memory back
  EXPECT_LT(peak_memory() - before, 100u << 20);
#endif
}

TEST_F(TokenizerTest, ManySentinelsAndLongAlmostSentinelsAreFast) {
  std::string sentinels, almost;
  for (int i = 0; i < 100000; ++i) sentinels += "<extra_id_7>", almost += "<extra_id_";
  EXPECT_EQ(tokenizer_->encode(sentinels).size(), 100000u);
  EXPECT_GT(tokenizer_->encode(almost).size(), 100000u);
}

TEST_F(TokenizerTest, NamesTheModel) {
  EXPECT_EQ(tokenizer_->hash().size(), 16u);
  EXPECT_EQ(tokenizer_->model_bytes(), read_file(tokenizer_->path()));
  EXPECT_NE(Tokenizer(write_model(testing::small_model(390))).hash(), tokenizer_->hash());
}

TEST_F(TokenizerTest, SentinelsInTheFileMustBeInTheirPlaces) {
  std::string good = tokenizer_->model_bytes();
  for (int i = kNumSentinels - 1; i >= 0; --i) {
    good += testing::proto_piece(format("\u2581<extra_id_{}>", i));
  }
  const Tokenizer held(write_model(good));
  EXPECT_EQ(held.vocab_size(), 400);
  EXPECT_EQ(held.num_pieces(), 400);
  EXPECT_EQ(held.encode("<extra_id_3>"), Ids{396});
  EXPECT_EQ(held.decode(Ids{396}), "<extra_id_3>");

  std::string counting_up = tokenizer_->model_bytes();
  for (int i = 0; i < kNumSentinels; ++i) {
    counting_up += testing::proto_piece(format("<extra_id_{}>", i));
  }
  const Error wrong = error_of([&] { Tokenizer(write_model(counting_up)); });
  EXPECT_EQ(wrong.kind(), ErrorKind::kUsage);
  EXPECT_THAT(wrong.what(), HasSubstr("<extra_id_0> as id 300 instead of 399"));

  const std::string one = tokenizer_->model_bytes() + testing::proto_piece("<extra_id_0>");
  EXPECT_THAT(error_of([&] { Tokenizer(write_model(one)); }).what(),
              HasSubstr("1 of the 100 sentinels"));
}

TEST_F(TokenizerTest, OtherSpecialIdsAreRefused) {
  // trainer_spec { eos_piece: "<none>" }: such a piece is not there, so there is no EOS.
  const std::string model =
      tokenizer_->model_bytes() + testing::proto_field(2, testing::proto_field(47, "<none>"));
  const Error error = error_of([&] { Tokenizer(write_model(model)); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("pad 0, eos -1, unk 2 instead of 0, 1, 2"));
}

TEST_F(TokenizerTest, FilesThatAreNoModelAreRefused) {
  EXPECT_EQ(error_of([&] { Tokenizer(*folder_ / "none"); }).kind(), ErrorKind::kUsage);
  EXPECT_EQ(error_of([&] { Tokenizer(folder_->path()); }).kind(), ErrorKind::kUsage);
  for (const std::string& bytes :
       {std::string(), std::string("plain text"), std::string(5000, '\xFF'),
        tokenizer_->model_bytes().substr(0, tokenizer_->model_bytes().size() / 2)}) {
    const Error error = error_of([&] { Tokenizer(write_model(bytes)); });
    EXPECT_EQ(error.kind(), ErrorKind::kDamaged) << error.what();
    EXPECT_EQ(error.where_part(), *folder_ / "other.model");
  }
}

// Both in one process and in turns; processor time, and the least of several rounds, since others
// load the machine.
TEST_F(TokenizerTest, AsFastAsTheLibrary) {
#ifndef NDEBUG
  GTEST_SKIP() << "a bound on time is for optimized builds";
#endif
  const auto lines = testing::made_up_lines();
  std::string document;
  std::vector<std::string> documents;
  for (int i = 0; i < 4; ++i) {
    for (const std::string& line : lines) {
      document += line + "\n";
      if (document.size() < 600) continue;
      documents.push_back(std::move(document));
      document.clear();
    }
  }
  double library = 1e9, ours = 1e9;
  const auto seconds = [](const auto& use) {
    const double start = thread_seconds();
    use();
    return thread_seconds() - start;
  };
  size_t bytes = 0;
  for (const std::string& text : documents) bytes += text.size();
  for (int round = 0; round < 15; ++round) {
    library = std::min(library, seconds([&] {
                         std::vector<int> ids;
                         for (const std::string& text : documents)
                           ASSERT_TRUE(library_.Encode(text, &ids).ok());
                       }));
    ours = std::min(ours, seconds([&] {
                      Ids ids;
                      for (const std::string& text : documents)
                        tokenizer_->encode_document(text, ids);
                    }));
  }
  const double megabytes = static_cast<double>(bytes) / 1e6;
  fmt::print("library {:.2f} MB/s, ours {:.2f} MB/s: {:.1f} %\n", megabytes / library,
             megabytes / ours, 100 * library / ours);
  EXPECT_GT(library / ours, 0.9);
}

}  // namespace
}  // namespace switchyard
