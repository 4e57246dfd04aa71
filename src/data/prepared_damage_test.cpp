// Damage of prepared data, wherever it strikes: found before anything is trained on it, or in bytes
// that training never reads.
//
// SWITCHYARD_FLIPS sets the number of single-byte flips (500).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/format.h"
#include "base/random.h"
#include "data/loader.h"
#include "data/streams.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using ::testing::HasSubstr;
using testing::put_file;

constexpr int32_t kTokens = 150000;

class PreparedDamageTest : public ::testing::Test {
 protected:
  PreparedDamageTest() {
    testing::write_prepared(folder_ / "data", testing::counting_documents(kTokens, 500), 200000,
                            60000);
    sound_ = testing::files_below(folder_ / "data");
    config_.train = {{folder_ / "data", 1.0}};
    config_.input_length = 64;
  }

  std::string path(const std::string& name) const { return folder_ / "data/" + name; }

  static uint64_t flips() {
    const char* wanted = std::getenv("SWITCHYARD_FLIPS");
    return wanted ? std::strtoull(wanted, nullptr, 10) : 500;
  }

  /// Opens the data and makes every sequence of an epoch, as training would.
  void read_an_epoch() const {
    const TrainingStream stream(config_, 1);
    const auto sequences = static_cast<int64_t>(stream.sequences_per_epoch(0));
    for (int64_t first = 0; first < sequences; first += 256) {
      stream.batch(static_cast<uint64_t>(first), std::min<int64_t>(256, sequences - first));
    }
  }
  /// The error that reading ends with; nothing if there is none.
  std::optional<Error> damage_found() const {
    try {
      read_an_epoch();
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }
  /// Training never reads document offsets.
  static bool ignored_by_training(const std::string& name) { return name.ends_with(".index"); }

  testing::TemporaryFolder folder_;
  std::map<std::string, std::string> sound_;
  DataConfig config_;
};

TEST_F(PreparedDamageTest, SoundDataIsRead) {
  EXPECT_EQ(sound_.size(), 3u * 2u + 3u);
  EXPECT_FALSE(damage_found());
}

// Every byte of every file is as likely as any other.
TEST_F(PreparedDamageTest, EveryFlippedByteIsFound) {
  std::vector<std::pair<std::string, uint64_t>> ends;  // name, bytes of all files up to its end
  uint64_t total = 0;
  for (const auto& [name, bytes] : sound_) ends.emplace_back(name, total += bytes.size());
  std::map<std::string, int> found;
  for (uint64_t flip = 0; flip < flips(); ++flip) {
    const RandomStream random(2, kRandomTest, flip);
    // A third strikes the small files, which few of the others would.
    uint64_t at = flip % 3 ? random.below(0, total) : 0;
    size_t file = 0;
    while (at >= ends[file].second) ++file;
    if (flip % 3 == 0) file = random.below(0, ends.size());
    const auto& [name, end] = ends[file];
    const std::string& sound = sound_.at(name);
    at = flip % 3 ? at - (end - sound.size()) : random.below(1, sound.size());
    std::string changed = sound;
    changed[at] = static_cast<char>(changed[at] ^ (1 + random.below(2, 255)));
    put_file(path(name), changed);
    const auto error = damage_found();
    if (ignored_by_training(name)) {
      ASSERT_FALSE(error) << name << ", byte " << at;
      const PreparedData data(folder_ / "data");
      ASSERT_EQ(error_of([&] { data.verify(); }).kind(), ErrorKind::kDamaged);
      const uint64_t document = name == "shard-00000.index"   ? 0
                                : name == "shard-00001.index" ? 120
                                                              : 299;
      ASSERT_EQ(error_of([&] { data.document(document); }).kind(), ErrorKind::kDamaged);
    } else {
      ASSERT_TRUE(error) << name << ", byte " << at;
      // A flip in the version or the name of the format makes it something else than damaged data.
      ASSERT_TRUE(error->kind() == ErrorKind::kDamaged || name == "dataset.json") << error->what();
      ASSERT_NE(error->kind(), ErrorKind::kRuntime);
      ASSERT_THAT(error->where_part(), HasSubstr(path(name)));
    }
    ++found[name.substr(name.find('.') == std::string::npos ? 0 : name.rfind('.'))];
    put_file(path(name), sound);
  }
  for (const auto& [kind, count] : found) RecordProperty(kind.substr(1), count);
}

TEST_F(PreparedDamageTest, DamageIsNamedWithItsBytes) {
  std::string bytes = sound_.at("shard-00001.tokens");
  bytes[2 * kPieceBytes + 77] ^= 1;
  put_file(path("shard-00001.tokens"), bytes);
  const auto error = damage_found();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->where_part(), format("{}, bytes {} to {}", path("shard-00001.tokens"),
                                        2 * kPieceBytes, 3 * kPieceBytes - 1));
  EXPECT_THAT(error->hint_part(), HasSubstr("data.on_damage"));
}

TEST_F(PreparedDamageTest, EveryTruncationIsFound) {
  for (const auto& [name, bytes] : sound_) {
    for (size_t length = 0; length < bytes.size(); length += 4096) {
      put_file(path(name), bytes.substr(0, length));
      const Error error = error_of([&] { PreparedData(folder_ / "data"); });
      ASSERT_EQ(error.kind(), ErrorKind::kDamaged) << name << " cut to " << length;
    }
    put_file(path(name), bytes);
  }
}

// Opening reads no tokens: a first use of a piece verifies it, and no other.
TEST_F(PreparedDamageTest, PiecesAreVerifiedWhenTheyAreUsed) {
  std::string bytes = sound_.at("shard-00000.tokens");
  bytes.back() ^= 1;
  put_file(path("shard-00000.tokens"), bytes);
  const PreparedData data(folder_ / "data");
  std::vector<int32_t> ids(kPieceBytes / 4);
  EXPECT_NO_THROW(data.copy(0, ids.size(), ids.data()));
  EXPECT_THROW(data.copy(59999, 1, ids.data()), Error);
  EXPECT_TRUE(data.is_sound(0, ids.size()));
  EXPECT_FALSE(data.is_sound(59999, 1));
}

TEST_F(PreparedDamageTest, EarlierVersionsAreVerifiedShardByShard) {
  Manifest manifest = Manifest::from_json(sound_.at("dataset.json"), "");
  const std::string with_pieces = manifest.to_json();
  EXPECT_EQ(with_pieces, sound_.at("dataset.json"));
  manifest.pieces.reset();
  EXPECT_THAT(manifest.to_json(), ::testing::Not(HasSubstr("checksum")));
  put_file(path("dataset.json"), manifest.to_json());
  fs::remove(path("pieces.xxh3"));
  EXPECT_FALSE(damage_found());
  std::string bytes = sound_.at("shard-00001.tokens");
  bytes[12345] ^= 1;
  put_file(path("shard-00001.tokens"), bytes);
  const auto error = damage_found();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->where_part(),
            format("{}, bytes 0 to {}", path("shard-00001.tokens"), bytes.size() - 1));
}

class SkippedDamage : public PreparedDamageTest {
 protected:
  SkippedDamage() {
    config_.on_damage = "skip";
    std::string bytes = sound_.at("shard-00001.tokens");
    bytes[kPieceBytes + 5] ^= 1;
    put_file(path("shard-00001.tokens"), bytes);
    first_lost_ = 60000 + static_cast<int32_t>(kPieceBytes / 4);
    last_lost_ = first_lost_ + static_cast<int32_t>(kPieceBytes / 4) - 1;
  }
  bool is_lost(int32_t id) const { return id >= first_lost_ && id <= last_lost_; }

  int32_t first_lost_, last_lost_;  // ids are their own place in the stream
};

TEST_F(SkippedDamage, OtherSequencesTakeThePlace) {
  const TrainingStream stream(config_, 1);
  config_.on_damage = "stop";
  const TrainingStream strict(config_, 1);
  const uint64_t sequences = stream.sequences_per_epoch(0);
  uint64_t replaced = 0;
  for (uint64_t i = 0; i < 2 * sequences; ++i) {
    const TokenBatch batch = stream.batch(i, 1);
    ASSERT_EQ(batch.num_sequences, 1);
    for (const int32_t id : batch.inputs) ASSERT_FALSE(is_lost(id)) << i;
    for (const int32_t id : batch.targets) ASSERT_FALSE(is_lost(id)) << i;
    try {
      const TokenBatch expected = strict.batch(i, 1);
      ASSERT_EQ(batch.inputs, expected.inputs) << "what is sound stays where it is";
    } catch (const Error&) {
      ++replaced;
    }
  }
  const auto lost = static_cast<double>(last_lost_ - first_lost_) / kTokens;
  EXPECT_NEAR(static_cast<double>(replaced) / static_cast<double>(2 * sequences), lost, 0.02);
  EXPECT_EQ(stream.damaged_pieces(), 1u);
}

// Whatever a process has met before, and however many threads it has.
TEST_F(SkippedDamage, TheSameSequencesInEveryProcess) {
  const TrainingStream first(config_, 1), second(config_, 1);
  const auto sequences = static_cast<int64_t>(first.sequences_per_epoch(0));
  const TokenBatch whole = first.batch(0, sequences);
  for (int64_t i = sequences - 50; i > 0; i -= 50) {
    const TokenBatch part = second.batch(static_cast<uint64_t>(i), 50);
    const auto begin = whole.inputs.begin() + i * whole.input_length;
    ASSERT_TRUE(std::equal(part.inputs.begin(), part.inputs.end(), begin)) << i;
  }
  LoaderOptions options;
  options.batch_sequences = 50;
  options.threads = 4;
  const TrainingStream third(config_, 1);
  Loader loader(third, options);
  for (int64_t i = 0; i + 50 <= sequences; i += 50) {
    const auto begin = whole.inputs.begin() + i * whole.input_length;
    const TokenBatch part = loader.next();
    ASSERT_TRUE(std::equal(part.inputs.begin(), part.inputs.end(), begin)) << i;
  }
}

TEST_F(SkippedDamage, IsLoggedOnce) {
  ::testing::internal::CaptureStderr();
  const TrainingStream stream(config_, 1);
  const auto sequences = static_cast<int64_t>(stream.sequences_per_epoch(0));
  stream.batch(0, sequences);
  stream.batch(0, sequences);
  const std::string log = ::testing::internal::GetCapturedStderr();
  const std::string line = format("wrong checksum; {}, bytes {} to {}", path("shard-00001.tokens"),
                                  kPieceBytes, 2 * kPieceBytes - 1);
  const size_t at = log.find(line);
  ASSERT_NE(at, std::string::npos) << log;
  EXPECT_EQ(log.find(line, at + 1), std::string::npos);
}

TEST_F(SkippedDamage, EvaluationLeavesItOutToo) {
  const EvaluationStream stream(config_, folder_ / "data");
  const TokenBatch batch = stream.batch(0, static_cast<int64_t>(stream.num_sequences()));
  EXPECT_EQ(batch.num_sequences, static_cast<int64_t>(stream.num_sequences()));
  for (const int32_t id : batch.inputs) ASSERT_FALSE(is_lost(id));
  config_.on_damage = "stop";
  const EvaluationStream strict(config_, folder_ / "data");
  EXPECT_THROW(strict.batch(0, static_cast<int64_t>(strict.num_sequences())), Error);
}

TEST_F(SkippedDamage, NothingLeftIsAnError) {
  for (const auto& [name, bytes] : sound_) {
    if (!name.ends_with(".tokens")) continue;
    std::string changed = bytes;
    for (size_t at = 0; at < bytes.size(); at += 1000) changed[at] ^= 1;
    put_file(path(name), changed);
  }
  const TrainingStream stream(config_, 1);
  const Error error = error_of([&] { stream.batch(0, 1); });
  EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
  EXPECT_THAT(error.what(), HasSubstr("no sequence is sound"));
}

}  // namespace
}  // namespace switchyard
