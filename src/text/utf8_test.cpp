#include "text/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "base/random.h"

namespace switchyard {
namespace {

constexpr size_t kNone = std::string_view::npos;

std::string encode(uint32_t code) {
  std::string text;
  const auto put = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
  return text;
}

TEST(Utf8, EveryCharacterIsSoundAndNoPartOfOneIs) {
  for (uint32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 37) {
    const std::string text = encode(code);
    if (code >= 0xD800 && code < 0xE000) {
      EXPECT_EQ(find_invalid_utf8(text), 0u) << "surrogate";
      continue;
    }
    ASSERT_EQ(find_invalid_utf8(text), kNone) << code;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(find_invalid_utf8(text.substr(0, cut)), 0u) << code;
      ASSERT_EQ(find_invalid_utf8(text.substr(cut)), 0u) << code;
    }
  }
}

TEST(Utf8, UnsoundForms) {
  for (const char* text :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF", "\xED\xA0\x80"}) {
    EXPECT_EQ(find_invalid_utf8(text), 0u) << text;
  }
  EXPECT_EQ(find_invalid_utf8(std::string_view("\0", 1)), kNone) << "NUL is a character";
  EXPECT_EQ(find_invalid_utf8(""), kNone);
}

// The search goes by eight bytes where it can.
TEST(Utf8, FindsABadByteAtEveryPlace) {
  for (size_t size = 1; size < 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = '\xFF';
      EXPECT_EQ(find_invalid_utf8(text), at);
      EXPECT_EQ(find_invalid_utf8(text, at + 1), kNone);
    }
  }
}

TEST(Utf8, ReplaceMendsEachBadByte) {
  EXPECT_EQ(replace_invalid_utf8("a\xFF\xFE"
                                 "b"),
            "a\uFFFD\uFFFDb");
  EXPECT_EQ(replace_invalid_utf8("\u00e9\xC3"), "\u00e9\uFFFD");
  EXPECT_EQ(replace_invalid_utf8(""), "");
  EXPECT_EQ(replace_invalid_utf8("sound \u4e2d"), "sound \u4e2d");
}

TEST(Utf8, MendedBytesAreSoundAndSoundTextStays) {
  const RandomStream random(1, kRandomTest);
  for (uint64_t i = 0; i < 3000; ++i) {
    std::string text;
    for (uint64_t k = 0; k < i % 40; ++k) {
      // Lead and continuation bytes often, so that half sound forms come up.
      const uint32_t word = random.bits(i * 64 + k);
      text += static_cast<char>(word % 3 == 0 ? word >> 24 : 0x80 | (word >> 8 & 0x7F));
    }
    const std::string mended = replace_invalid_utf8(text);
    EXPECT_EQ(find_invalid_utf8(mended), kNone);
    EXPECT_EQ(replace_invalid_utf8(mended), mended);
  }
}

TEST(Utf8, CharacterBorderSplitsNoCharacter) {
  const std::string text = "a\u00e9\u4e2d\U0001F600z";  // starts at 0, 1, 3, 6, 10
  const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
  for (size_t limit = 1; limit <= text.size(); ++limit) {
    EXPECT_EQ(character_border(text, limit), expected[limit]) << limit;
  }
  EXPECT_EQ(character_border("\x80\x80\x80\x80\x80\x80", 5), 5u) << "unsound: somewhere";
}

TEST(Utf8, PartBorderPrefersWhiteSpaceInTheSecondHalf) {
  EXPECT_EQ(part_border("aaa bbb ccc", 10), 8u);
  EXPECT_EQ(part_border("aaa bbbbbbbbbbbb", 10), 10u) << "space only in the first half";
  EXPECT_EQ(part_border("aaaaaaaaa\u00e9x", 10), 9u);
  for (size_t limit = 1; limit < 10; ++limit)
    EXPECT_GT(part_border("\x80\x80 \x80\u00e9 aaaaaa", limit), 0u);
}

TEST(Utf8, Trim) {
  EXPECT_EQ(trim(" \t\r\n a b \v\f"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim("\u00a0x"), "\u00a0x") << "only ASCII white space";
}

}  // namespace
}  // namespace switchyard
