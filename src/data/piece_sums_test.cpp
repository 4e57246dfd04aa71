#include "data/piece_sums.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"

namespace switchyard {
namespace {

std::vector<std::byte> random_bytes(size_t count) {
  const RandomStream random(1, kRandomTest);
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(random.bits64(i));
  return bytes;
}

TEST(PieceHasher, SumsDoNotDependOnHowFilesAreWritten) {
  const std::vector<std::byte> bytes = random_bytes(3 * kPieceBytes + 100);
  const std::span<const std::byte> all(bytes);
  PieceHasher at_once;
  at_once.add(all);
  at_once.end_file();
  at_once.add(all.first(kPieceBytes));
  at_once.end_file();
  at_once.end_file();  // an empty file has no piece
  ASSERT_EQ(at_once.sums().size(), 5u);
  EXPECT_EQ(at_once.sums()[1], hash64(all.subspan(kPieceBytes, kPieceBytes)));
  EXPECT_EQ(at_once.sums()[3], hash64(all.subspan(3 * kPieceBytes)));
  EXPECT_EQ(at_once.sums()[4], at_once.sums()[0]);
  PieceHasher in_parts;
  for (size_t at = 0; at < bytes.size(); at += 1000) {
    in_parts.add(all.subspan(at, std::min<size_t>(1000, bytes.size() - at)));
  }
  in_parts.end_file();
  in_parts.add(all.first(kPieceBytes));
  in_parts.end_file();
  EXPECT_EQ(in_parts.sums(), at_once.sums());
  EXPECT_EQ(count_pieces(bytes.size(), kPieceBytes), 4u);
  EXPECT_EQ(count_pieces(kPieceBytes, kPieceBytes), 1u);
  EXPECT_EQ(count_pieces(0, kPieceBytes), 0u);
}

TEST(PieceChecker, LooksAtWhatIsUsedAndTellsOnce) {
  std::vector<std::byte> bytes = random_bytes(1050);
  std::vector<uint64_t> sums;
  for (size_t at = 0; at < 1050; at += 100) {
    sums.push_back(hash64(std::span(bytes).subspan(at, std::min<size_t>(100, 1050 - at))));
  }
  bytes[399] ^= std::byte{1};
  bytes[1049] ^= std::byte{1};
  PieceChecker checker(bytes, sums, 100);
  int told = 0;
  const auto tell = [&](const PieceChecker::Damage&) { ++told; };
  EXPECT_FALSE(checker.find_damage(0, 300, tell));
  EXPECT_FALSE(checker.find_damage(400, 1000, tell));
  EXPECT_FALSE(checker.find_damage(350, 350, tell));
  for (const auto& [begin, end] : {std::pair{300, 301}, {0, 301}, {399, 1050}}) {
    const auto damage = checker.find_damage(begin, end, tell);
    ASSERT_TRUE(damage);
    EXPECT_EQ(damage->begin, 300u);
    EXPECT_EQ(damage->end, 400u);
  }
  EXPECT_EQ(told, 1);
  PieceChecker moved = std::move(checker);
  EXPECT_EQ(moved.find_damage(1000, 1001, tell)->end, 1050u);
  EXPECT_EQ(told, 2);
  // A piece that was found sound is not looked at again.
  bytes[0] ^= std::byte{1};
  EXPECT_FALSE(moved.find_damage(0, 1));
}

}  // namespace
}  // namespace switchyard
