#include "base/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace switchyard {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Values of the XXH3-64 reference (xxhsum -H3 of xxHash 0.8).
TEST(Hash, PublishedValues) {
  EXPECT_EQ(to_hex(hash64(std::string_view())), "2d06800538d394c2");
  EXPECT_EQ(to_hex(hash64(std::string_view("abc"))), "78af5f94892f3950");
}

TEST(Hash, HexKeepsLeadingZeros) { EXPECT_EQ(to_hex(0x1234), "0000000000001234"); }

TEST(Hash, SeedAndEveryByteMatter) {
  std::string text(300, 'x');
  const uint64_t before = hash64(std::string_view(text));
  EXPECT_NE(hash64(std::string_view(text), 1), before);
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] ^= 1;
    EXPECT_NE(hash64(std::string_view(text)), before) << i;
    text[i] ^= 1;
  }
}

TEST(Hash, PiecesGiveTheSameAsTheWhole) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 7);
  for (const size_t piece : {1, 3, 64, 1000, 4999}) {
    StreamingHash hash;
    for (size_t at = 0; at < text.size(); at += piece) {
      hash.add(bytes_of(std::string_view(text).substr(at, piece)));
    }
    EXPECT_EQ(hash.value(), hash64(bytes_of(text))) << piece;
  }
  EXPECT_EQ(StreamingHash().value(), hash64(std::string_view()));
}

}  // namespace
}  // namespace switchyard
