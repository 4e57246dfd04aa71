#include "data/byte_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::error_of;
using testing::gzip;
using ::testing::HasSubstr;
using testing::put_file;
using testing::zstd;

std::string read_all(ByteSource& source, size_t block = 256 << 10) {
  std::string text, buffer(block, '\0');
  while (const size_t got = source.read(buffer.data(), buffer.size())) text.append(buffer, 0, got);
  return text;
}

class ByteSourceTest : public ::testing::Test {
 protected:
  std::string content(const std::string& bytes, size_t block = 256 << 10) {
    put_file(path_, bytes);
    const auto source = open_byte_source(path_);
    const std::string text = read_all(*source, block);
    EXPECT_EQ(source->read(nullptr, 0), 0u);
    return text;
  }
  /// Some text that compresses, but not too well.
  static std::string text_of(size_t size) {
    const RandomStream random(size, kRandomTest);
    std::string text;
    for (uint64_t i = 0; text.size() < size; ++i)
      text += "word" + std::to_string(random.bits(i) % 997) + " ";
    text.resize(size);
    return text;
  }

  testing::TemporaryFolder folder_;
  std::string path_ = folder_ / "file";
};

TEST_F(ByteSourceTest, CompressionIsRecognisedByContent) {
  const std::string text = text_of(1000000);
  EXPECT_TRUE(content(text) == text);
  EXPECT_TRUE(content(gzip(text)) == text);
  EXPECT_TRUE(content(zstd(text)) == text);
  for (const std::string& tiny : {std::string(), std::string("a"), std::string("\x1F"),
                                  std::string("\x28\xB5\x2F"), std::string("abcde")}) {
    EXPECT_EQ(content(tiny), tiny);
    EXPECT_EQ(content(gzip(tiny)), tiny);
    EXPECT_EQ(content(zstd(tiny)), tiny);
  }
}

TEST_F(ByteSourceTest, ReadsOfAnySize) {
  const std::string text = text_of(5000);
  for (const size_t block : {1, 2, 3, 7, 1000}) {
    EXPECT_TRUE(content(text, block) == text);
    EXPECT_TRUE(content(gzip(text), block) == text);
    EXPECT_TRUE(content(zstd(text), block) == text);
  }
}

TEST_F(ByteSourceTest, SeveralMembers) {
  const std::string a = text_of(300000), b = text_of(200001);
  EXPECT_TRUE(content(gzip(a) + gzip("") + gzip("") + gzip(b)) == a + b);
  EXPECT_TRUE(content(gzip(a) + std::string(1000, '\0')) == a) << "padding, as on tapes";
  EXPECT_TRUE(content(zstd(a) + zstd("") + zstd(b)) == a + b);
  const std::string skippable("\x50\x2A\x4D\x18\x03\0\0\0abc", 11);
  EXPECT_TRUE(content(zstd(a) + skippable + zstd(b)) == a + b);
}

// The decompressor may have taken all of the file and still hold bytes that found no room.
TEST_F(ByteSourceTest, FramesWithoutChecksumGiveAllTheirBytes) {
  for (const size_t first : {0, 1, 1000, 100000, 200000}) {
    for (const size_t second : {5, 100000, 131072, 200000, 300000}) {
      const std::string a = text_of(first), b = text_of(second);
      EXPECT_TRUE(content(zstd(a, false) + zstd(b, false)) == a + b) << first << " " << second;
    }
  }
  const std::string text = text_of(3000);
  EXPECT_TRUE(content(zstd(text, false), 100) == text);
}

TEST_F(ByteSourceTest, EveryTruncationIsFound) {
  const std::string text = text_of(300);
  for (const std::string& bytes : {gzip(text), zstd(text), zstd(text, false)}) {
    for (size_t size = 4; size < bytes.size(); ++size) {
      put_file(path_, bytes.substr(0, size));
      const Error error = error_of([&] { read_all(*open_byte_source(path_)); });
      ASSERT_EQ(error.kind(), ErrorKind::kDamaged) << size;
      EXPECT_EQ(error.what_part(), "compressed data is cut off");
      EXPECT_EQ(error.where_part(), path_ + ", byte " + std::to_string(size));
    }
  }
}

TEST_F(ByteSourceTest, ChangedBytesAreFoundOrHarmless) {
  const std::string text = text_of(300);
  for (const std::string& bytes : {gzip(text) + gzip(text), zstd(text) + zstd(text)}) {
    int found = 0;
    for (size_t at = 4; at < bytes.size(); ++at) {
      std::string changed = bytes;
      changed[at] ^= static_cast<char>(1 << at % 8);
      put_file(path_, changed);
      try {
        EXPECT_TRUE(read_all(*open_byte_source(path_)) == text + text) << at;
      } catch (const Error& error) {
        ++found;
        EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
      }
    }
    EXPECT_GT(found, static_cast<int>(bytes.size()) - 4 - 20)
        << "only a few header bytes say nothing";
  }
}

TEST_F(ByteSourceTest, DamageNamesTheByte) {
  const std::string first = gzip(text_of(100000));
  put_file(path_, first + "no gzip here" + std::string(100000, 'x'));
  const Error error = error_of([&] { read_all(*open_byte_source(path_)); });
  EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
  ASSERT_TRUE(error.where_part().starts_with(path_ + ", byte "));
  const size_t at = std::stoul(error.where_part().substr(path_.size() + 7));
  EXPECT_NEAR(static_cast<double>(at), static_cast<double>(first.size()), 16);
}

TEST_F(ByteSourceTest, WindowsOfGigabytesAreRefused) {
  put_file(path_, zstd("some text", true, 28));
  EXPECT_EQ(error_of([&] { read_all(*open_byte_source(path_)); }).kind(), ErrorKind::kDamaged);
  EXPECT_EQ(content(zstd("some text", true, 27)), "some text");
}

TEST_F(ByteSourceTest, MistakesAreUsageErrors) {
  EXPECT_EQ(error_of([&] { open_byte_source(folder_ / "none"); }).kind(), ErrorKind::kUsage);
  EXPECT_EQ(error_of([&] { open_byte_source(folder_.path()); }).kind(), ErrorKind::kUsage);
}

/// Standard input is a pipe while this lives.
class PipedInput {
 public:
  PipedInput() : before_(::dup(STDIN_FILENO)) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    ::dup2(ends[0], STDIN_FILENO);
    ::close(ends[0]);
    writer_ = ends[1];
  }
  ~PipedInput() {
    close();
    ::dup2(before_, STDIN_FILENO);
    ::close(before_);
  }
  PipedInput(const PipedInput&) = delete;
  PipedInput& operator=(const PipedInput&) = delete;

  void write(const std::string& bytes) const {
    for (const char byte : bytes) ASSERT_EQ(::write(writer_, &byte, 1), 1);
  }
  void close() {
    if (writer_ >= 0) ::close(writer_);
    writer_ = -1;
  }

 private:
  int before_, writer_ = -1;
};

TEST_F(ByteSourceTest, StandardInputByteByByte) {
  const std::string text = text_of(2000);
  for (const std::string& bytes : {text, gzip(text), zstd(text), std::string()}) {
    PipedInput input;
    std::thread writer([&] {
      input.write(bytes);
      input.close();
    });
    EXPECT_TRUE(read_all(*open_byte_source("-")) == (bytes.empty() ? "" : text));
    writer.join();
  }
}

TEST_F(ByteSourceTest, WaitingForInputCanBeEnded) {
  PipedInput input;
  input.write("some bytes");
  std::atomic<int> asked = 0;
  const auto source = open_byte_source("-", [&] { return ++asked > 2; });
  std::string buffer(100, '\0');
  size_t got = 0;
  while (got < 10) got += source->read(buffer.data(), buffer.size());
  const Error error = error_of([&] { source->read(buffer.data(), buffer.size()); });
  EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
  EXPECT_THAT(error.what(), HasSubstr("interrupted; standard input"));
}

}  // namespace
}  // namespace switchyard
