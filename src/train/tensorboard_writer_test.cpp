// Golden bytes: made by TensorBoard 2.21's own protobuf classes and RecordWriter.
#include "train/tensorboard_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/format.h"
#include "train/event_record.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

TEST(Crc32c, KnownVectors) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string ascending;
  for (char byte = 0; byte < 32; ++byte) ascending += byte;
  EXPECT_EQ(crc32c(ascending), 0x46DD794Eu);
  EXPECT_EQ(masked_crc32c(ascending), 0x951F7892u);
}

TEST(EventRecord, BytesOfTensorBoardItself) {
  EXPECT_EQ(hex(tfrecord(version_event(1700000000.25))),
            "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9");
  EXPECT_EQ(hex(tfrecord(session_start_event(301, 1700000000.25))),
            "100000000000000095fbfe180900001040fc54d94110ad023a020801cb79b93b");
  EXPECT_EQ(hex(tfrecord(scalar_event("eval/nlp", 300, -2.75, 1700000001.5))),
            "1f00000000000000514b44180900006040fc54d94110ac022a110a0f0a086576616c2f6e6c7015000030c0"
            "6e3b9aaf");
  EXPECT_EQ(hex(tfrecord(scalar_event("zero", 0, 0.0, 1700000001.5))),
            "1800000000000000a37f4b220900006040fc54d9412a0d0a0b0a047a65726f15000000006b6643d4");
  EXPECT_EQ(hex(tfrecord(histogram_event("load/encoder.1", 70000, std::vector{0.5, 0.25, 0.25},
                                         1700000001.5))),
            "7b000000000000001bf7cfce0900006040fc54d94110f0a2042a6c0a6a0a0e6c6f61642f656e636f6465"
            "722e312a5811000000000000084019000000000000f03f21000000000000f43f29000000000000024032"
            "18000000000000f03f000000000000004000000000000008403a18000000000000e03f000000000000d0"
            "3f000000000000d03f5dfce83f");
}

class TensorBoardWriterTest : public testing::Test {
 protected:
  ~TensorBoardWriterTest() override { fs::remove_all(directory_); }

  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_)) names.push_back(entry.path());
    std::sort(names.begin(), names.end());
    return names;
  }

  const std::string directory_ = testing::TempDir() + format("tensorboard-{}", ::getpid());
};

TEST_F(TensorBoardWriterTest, FileIsVersionThenEvents) {
  TensorBoardWriter writer(directory_ + "/deep");
  writer.scalar("loss", 7, 2.5, 1700000000);
  const std::string path = fs::directory_iterator(directory_ + "/deep")->path();
  EXPECT_THAT(fs::path(path).filename(), testing::StartsWith("events.out.tfevents."));
  const std::string bytes = read_file(path);
  const size_t head = tfrecord(version_event(1700000000)).size();
  EXPECT_EQ(bytes.substr(head), tfrecord(scalar_event("loss", 7, 2.5, 1700000000)));
}

TEST_F(TensorBoardWriterTest, LaterFilesSortLaterAndDropWhatTheyWriteAgain) {
  for (int file = 0; file < 12; ++file) TensorBoardWriter(directory_, 100 * file);
  const std::vector<std::string> names = files();
  ASSERT_EQ(names.size(), 12u);
  EXPECT_EQ(read_file(names[0]).size(), tfrecord(version_event(1)).size());
  for (int file = 1; file < 12; ++file) {
    const std::string bytes = read_file(names[static_cast<size_t>(file)]);
    const std::string start = tfrecord(session_start_event(100 * file, 1));
    // After the length and its checksum the event's wall time, 9 bytes, then the step.
    EXPECT_EQ(bytes.substr(bytes.size() - start.size() + 21, 6), start.substr(21, 6)) << file;
  }
}

TEST_F(TensorBoardWriterTest, PlaceThatCannotBeMade) {
  write_file(directory_, "a file");
  EXPECT_THROW(TensorBoardWriter{directory_}, Error);
}

}  // namespace
}  // namespace switchyard
