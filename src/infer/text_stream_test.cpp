#include "infer/text_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/files.h"
#include "base/random.h"
#include "tests/temporary_folder.h"
#include "text/test_models.h"
#include "text/tokenizer.h"

namespace switchyard {
namespace {

constexpr const char* kUnknown = "\xEF\xBF\xBD";

/// What is shown after each of some growing texts, joined by '|', the last one being the end.
std::string pieces(const std::vector<std::string>& texts, std::vector<std::string> stops = {},
                   size_t fixed_bytes = 0) {
  TextStream stream(std::move(stops), fixed_bytes);
  std::string joined;
  for (size_t i = 0; i + 1 < texts.size(); ++i) {
    stream.update(texts[i]);
    joined += stream.take() + "|";
  }
  stream.finish(texts.back());
  return joined + stream.take();
}

TEST(TextStream, ShowsWhatIsNew) {
  EXPECT_EQ(pieces({"a", "a b", "a b", "a bcd"}), "a| b||cd");
  EXPECT_EQ(pieces({""}), "");
}

TEST(TextStream, WaitsForWholeCharacters) {
  const std::string begun = std::string("x") + kUnknown, more = begun + kUnknown;
  EXPECT_EQ(pieces({begun, more, "x\xE2\x82\xAC", "x\xE2\x82\xACy"}), "x||\xE2\x82\xAC|y");
  // What stays incomplete is shown at the end, or once other text follows.
  EXPECT_EQ(pieces({begun, begun}), std::string("x|") + kUnknown);
  EXPECT_EQ(pieces({begun, begun + "y", begun + "y"}), std::string("x|") + kUnknown + "y|");
}

TEST(TextStream, StopsBeforeTheFirstStopSequence) {
  TextStream stream({"end", "nd o"});
  EXPECT_FALSE(stream.update("the e"));
  EXPECT_EQ(stream.take(), "the ");
  EXPECT_FALSE(stream.update("the en"));
  EXPECT_EQ(stream.take(), "");
  EXPECT_TRUE(stream.update("the end of it"));
  EXPECT_EQ(stream.take(), "");
  EXPECT_TRUE(stream.stopped());
  stream.finish("the end of it all");
  EXPECT_EQ(stream.take(), "");
  EXPECT_EQ(stream.text(), "the ");
}

TEST(TextStream, ShowsWhatOnlyLookedLikeAStop) {
  EXPECT_EQ(pieces({"a sto", "a stork", "a stork"}, {"stop"}), "a |stork|");
  EXPECT_EQ(pieces({"a sto", "a sto"}, {"stop"}), "a |sto");
  EXPECT_EQ(pieces({"aab", "aabaab", "aabaabx"}, {"aabaabz"}), "||aabaabx");
}

TEST(TextStream, LooksForStopsBehindThePrefix) {
  EXPECT_EQ(pieces({"x. a", "x. a. b"}, {"."}, 2), "x. a|");
  EXPECT_EQ(pieces({"x."}, {"."}, 2), "x.");
}

TEST(TextStream, PiecesAreTheWholeHoweverItIsCut) {
  const std::string whole = "ab\xC3\xA4 abab stop\xE2\x82\xAC ababac end";
  for (const std::string stop : {"zz", "ababac", "p\xE2\x82\xAC", "a", "ababab"}) {
    const std::string expected = whole.substr(0, whole.find(stop));
    for (size_t step = 1; step < 6; ++step) {
      TextStream stream({stop});
      std::string joined;
      for (size_t length = step; length < whole.size(); length += step) {
        // As a decoder would give it: incomplete characters as U+FFFD.
        std::string text = whole.substr(0, length);
        while (!text.empty() && (static_cast<unsigned char>(whole[text.size()]) & 0xC0) == 0x80) {
          text.pop_back();
        }
        if (text.size() < length) text += kUnknown;
        stream.update(text);
        joined += stream.take();
        EXPECT_EQ(joined, expected.substr(0, joined.size()));
      }
      stream.finish(whole);
      EXPECT_EQ(joined + stream.take(), expected) << stop << " " << step;
    }
  }
}

TEST(TextStream, PiecesOfATokenizerJoinToItsText) {
  const testing::TemporaryFolder folder;
  write_file(folder / "spiece.model", testing::small_model());
  const Tokenizer tokenizer(folder / "spiece.model");
  for (uint64_t output = 0; output < 40; ++output) {
    const RandomStream random(1, kRandomTest, output);
    std::vector<int32_t> ids;
    TextStream stream({"zz", "\u2581"});
    std::string joined;
    for (uint64_t i = 0; i < 60; ++i) {
      // Every fifth id is one of the few with a meaning of their own or a sentinel.
      const bool special = random.below(2 * i, 5) == 0;
      ids.push_back(special ? (i % 2 == 0 ? static_cast<int32_t>(i % 5) : tokenizer.sentinel_id(3))
                            : static_cast<int32_t>(random.below(2 * i + 1, 400)));
      stream.update(tokenizer.decode(ids));
      joined += stream.take();
    }
    const std::string whole = tokenizer.decode(ids);
    stream.finish(whole);
    EXPECT_EQ(joined + stream.take(), whole.substr(0, whole.find("zz")));
    EXPECT_GT(joined.size(), 30u);
  }
}

}  // namespace
}  // namespace switchyard
