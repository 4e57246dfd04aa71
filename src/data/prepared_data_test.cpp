#include "data/prepared_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/format.h"
#include "base/random.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::counting_documents;
using testing::error_of;
using ::testing::HasSubstr;
using testing::put_file;
using testing::write_prepared;
using Ids = std::vector<int32_t>;

class PreparedDataTest : public ::testing::Test {
 protected:
  /// 1000 tokens that count up, documents of 7, shards of 105.
  std::string write(int32_t vocab_size = 1000, uint64_t shard_tokens = 100) {
    write_prepared(folder_ / "data", counting_documents(1000, 7), vocab_size, shard_tokens);
    return folder_ / "data";
  }
  static Ids copy(const PreparedData& data, uint64_t begin, uint64_t count) {
    Ids ids(count);
    data.copy(begin, count, ids.data());
    return ids;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(PreparedDataTest, GivesWhatWasWritten) {
  for (const int32_t vocab_size : {1000, 65536, 65537, 1 << 30}) {
    const PreparedData data(write(vocab_size));
    EXPECT_EQ(data.manifest().token_bytes, vocab_size <= 65536 ? 2 : 4);
    EXPECT_EQ(data.num_tokens(), 1000u);
    EXPECT_EQ(data.num_documents(), 143u);
    EXPECT_EQ(data.vocab_size(), vocab_size);
    EXPECT_EQ(data.manifest().shards.size(), 10u);
    const Ids all = copy(data, 0, 1000);
    for (int32_t i = 0; i < 1000; ++i) ASSERT_EQ(all[static_cast<size_t>(i)], i);
    for (uint64_t i = 0; i < 143; ++i) {
      ASSERT_EQ(data.document(i), counting_documents(1000, 7)[i]);
    }
    EXPECT_NO_THROW(data.verify());
  }
}

TEST_F(PreparedDataTest, AShardEndsAtADocument) {
  write_prepared(folder_ / "data", {Ids(60, 1), Ids(60, 2), Ids(500, 3), Ids(1, 4)}, 10, 100);
  const PreparedData data(folder_ / "data");
  ASSERT_EQ(data.manifest().shards.size(), 3u);
  EXPECT_EQ(data.manifest().shards[0].tokens, 120u);
  EXPECT_EQ(data.manifest().shards[1].tokens, 500u);
  EXPECT_EQ(data.manifest().shards[2].tokens, 1u);
}

TEST_F(PreparedDataTest, CopiesAcrossShards) {
  const PreparedData data(write());
  const RandomStream random(1, kRandomTest);
  for (uint64_t i = 0; i < 500; ++i) {
    const uint64_t begin = random.below(2 * i, 1001);
    const uint64_t count = random.below(2 * i + 1, 1001 - begin);
    const Ids ids = copy(data, begin, count);
    for (uint64_t k = 0; k < count; ++k) ASSERT_EQ(ids[k], static_cast<int32_t>(begin + k));
  }
  int32_t id = 0;
  EXPECT_THROW(data.copy(1000, 1, &id), Error);
  EXPECT_THROW(data.copy(~uint64_t{0}, 2, &id), Error);
  EXPECT_THROW(data.document(143), Error);
}

TEST_F(PreparedDataTest, FoldersThatHoldNone) {
  const Error none = error_of([&] { PreparedData(folder_ / "none"); });
  EXPECT_EQ(none.kind(), ErrorKind::kUsage);
  EXPECT_THAT(none.what(), HasSubstr("No such file or directory; " + (folder_ / "none")));
  write_prepared(folder_ / "outer/train", {{1, 2}}, 10);
  const Error outer = error_of([&] { PreparedData(folder_ / "outer"); });
  EXPECT_EQ(outer.kind(), ErrorKind::kUsage);
  EXPECT_THAT(outer.what(), HasSubstr("did you mean '" + (folder_ / "outer/train") + "'?"));
  write_prepared(folder_ / "outer/validation", {{1, 2}}, 10);
  EXPECT_THAT(error_of([&] { PreparedData(folder_ / "outer"); }).what(),
              HasSubstr("outer/train' or '" + (folder_ / "outer/validation") + "'?"));
  EXPECT_EQ(error_of([&] { PreparedData(folder_.path()); }).kind(), ErrorKind::kUsage);
}

TEST_F(PreparedDataTest, MissingAndTruncatedFilesAreNamed) {
  for (const char* name : {"shard-00003.tokens", "shard-00003.index", "spiece.model"}) {
    const std::string path = write() + "/" + name;
    const std::string bytes = read_file(path);
    std::filesystem::remove(path);
    const Error missing = error_of([&] { PreparedData(folder_ / "data"); });
    EXPECT_EQ(missing.kind(), ErrorKind::kDamaged);
    EXPECT_EQ(missing.where_part(), path);
    for (const std::string& changed :
         {bytes.substr(0, bytes.size() - 1), bytes + "x", std::string()}) {
      put_file(path, changed);
      const Error error = error_of([&] { PreparedData(folder_ / "data"); });
      EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
      EXPECT_EQ(error.where_part(), path);
      if (std::string(name) != "spiece.model") {
        EXPECT_EQ(error.what_part(),
                  format("file has {} bytes instead of {}", changed.size(), bytes.size()));
      }
    }
  }
}

TEST_F(PreparedDataTest, AnotherTokenizerIsFound) {
  put_file(write() + "/spiece.model", "b model");
  const Error error = error_of([&] { PreparedData(folder_ / "data"); });
  EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
  EXPECT_THAT(error.what(), HasSubstr("not the tokenizer that the data was made with"));
}

TEST_F(PreparedDataTest, VerifyFindsFlippedBytes) {
  for (const char* name : {"shard-00000.tokens", "shard-00001.tokens", "shard-00001.index"}) {
    const std::string path = write(1000, 900) + "/" + name;
    const std::string sound = read_file(path);
    for (size_t at = 0; at < sound.size(); at += 7) {
      std::string changed = sound;
      changed[at] ^= static_cast<char>(1 << at % 8);
      put_file(path, changed);
      const PreparedData data(folder_ / "data");
      const Error error = error_of([&] { data.verify(); });
      ASSERT_EQ(error.kind(), ErrorKind::kDamaged);
      ASSERT_EQ(error.where_part(), path);
    }
  }
}

TEST_F(PreparedDataTest, IdsBeyondTheVocabularyNameTheByte) {
  const std::string path = write() + "/shard-00001.tokens";
  std::string bytes = read_file(path);
  bytes[2 * 30 + 1] = '\x7F';
  put_file(path, bytes);
  testing::reseal(folder_ / "data");
  const PreparedData data(folder_ / "data");
  const uint64_t first = data.manifest().shards[0].tokens;
  EXPECT_NO_THROW(copy(data, 0, first + 30));
  for (const uint64_t begin : {uint64_t{0}, first, first + 30}) {
    const Error error = error_of([&] { copy(data, begin, first + 50 - begin); });
    EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
    EXPECT_EQ(error.where_part(), path + ", byte 60");
  }
}

TEST_F(PreparedDataTest, OffsetsThatLeadOutOfTheShardAreFound) {
  const std::string path = write() + "/shard-00002.index";
  for (const uint64_t offset : {uint64_t{1000000}, ~uint64_t{0}, uint64_t{0}}) {
    write();
    std::string bytes = read_file(path);
    std::memcpy(bytes.data() + 3 * 8, &offset, 8);
    put_file(path, bytes);
    const PreparedData data(folder_ / "data");
    const uint64_t first =
        data.manifest().shards[0].documents + data.manifest().shards[1].documents;
    int found = 0;
    for (const uint64_t i : {first + 2, first + 3}) {
      try {
        data.document(i);
      } catch (const Error& error) {
        ++found;
        EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
        EXPECT_EQ(error.where_part(), path);
      }
    }
    EXPECT_GE(found, 1);
  }
}

// A manifest that lies in any way about the files beside it: an Error or data that reads safely.
TEST_F(PreparedDataTest, MutatedManifestsNeverCrash) {
  const std::string path = write(1000, 400) + "/dataset.json";
  const std::string sound = read_file(path);
  const char* numbers[] = {"0", "1", "2", "4", "7", "105", "998", "281474976710656", "-1"};
  for (uint64_t i = 0; i < 400; ++i) {
    const RandomStream random(1, kRandomTest, i);
    std::string text = sound;
    uint64_t draw = 0;
    for (uint64_t k = 0; k <= random.below(++draw, 3); ++k) {
      size_t at = text.find_first_of("0123456789", random.below(++draw, text.size()));
      if (at == std::string::npos) continue;
      if (random.below(++draw, 2)) {
        text[at] = static_cast<char>('0' + random.below(++draw, 10));
      } else {
        const size_t end = text.find_first_not_of("0123456789", at);
        text.replace(at, end - at, numbers[random.below(++draw, 9)]);
      }
    }
    // Half of them with a checksum that fits, so that what is behind it is met too.
    put_file(path, i % 2 ? testing::with_checksum(text) : text);
    try {
      const PreparedData data(folder_ / "data");
      copy(data, 0, data.num_tokens());
      for (uint64_t d = 0; d < data.num_documents(); ++d) data.document(d);
      data.verify();
    } catch (const Error& error) {
      ASSERT_NE(error.kind(), ErrorKind::kRuntime) << error.what();
    }
  }
}

}  // namespace
}  // namespace switchyard
