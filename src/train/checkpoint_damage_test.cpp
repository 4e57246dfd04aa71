// Every changed byte and every lost end of a checkpoint is seen before training goes on from it.
// SWITCHYARD_DAMAGE_FLIPS sets the number of random changes (CONTRIBUTING.md).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/random.h"
#include "checkpoint/file_manifest.h"
#include "tests/temporary_folder.h"
#include "train/test_training.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;
using testing::TinyTraining;

uint64_t wanted_flips() {
  const char* wanted = std::getenv("SWITCHYARD_DAMAGE_FLIPS");
  return wanted ? std::strtoull(wanted, nullptr, 10) : 1000;
}

class CheckpointDamageTest : public ::testing::Test {
 protected:
  CheckpointDamageTest() {
    write_file(folder_ / "spiece.model", "a tokenizer");
    training_.train_to(2);
    save_checkpoint(path_, training_.model(), training_.optimizer(), training_.position(),
                    {.shard_bytes = 8000, .tokenizer = folder_ / "spiece.model"});
    for (const auto& entry : fs::recursive_directory_iterator(path_)) {
      if (entry.is_regular_file()) files_.push_back({entry.path(), entry.file_size()});
    }
  }

  void expect_seen(const std::string& what) {
    try {
      training_.load(path_);
      ADD_FAILURE() << "not seen: " << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kDamaged) << what << ": " << error.what();
    }
  }

  /// XORs a byte of a file in place.
  static void flip(const std::string& path, uint64_t offset, uint8_t bits) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    ASSERT_EQ(::pread(fd, &byte, 1, static_cast<off_t>(offset)), 1);
    byte ^= bits;
    ASSERT_EQ(::pwrite(fd, &byte, 1, static_cast<off_t>(offset)), 1);
    ::close(fd);
  }

  void expect_flip_seen(const std::string& path, uint64_t offset, uint8_t bits) {
    flip(path, offset, bits);
    expect_seen(path + ", byte " + std::to_string(offset) + " ^ " + std::to_string(bits));
    flip(path, offset, bits);
  }

  struct File {
    std::string path;
    uint64_t bytes;
  };
  TemporaryFolder folder_;
  const std::string path_ = folder_ / "checkpoint";
  TinyTraining training_;
  std::vector<File> files_;
};

TEST_F(CheckpointDamageTest, RandomBytesOfAnyFile) {
  const uint64_t flips = wanted_flips();
  const RandomStream random(1, kRandomTest);
  ASSERT_GE(files_.size(), 10u);
  for (uint64_t i = 0; i < flips; ++i) {
    // Every file in turn: most bytes are those of tensors.
    const File& file = files_[i % files_.size()];
    expect_flip_seen(file.path, random.below(2 * i, file.bytes),
                     static_cast<uint8_t>(1 + random.below(2 * i + 1, 255)));
  }
  training_.load(path_);  // all of it was put back
}

// Every byte if as many flips are wanted.
TEST_F(CheckpointDamageTest, BytesOfTheManifest) {
  const std::string manifest = path_ + "/" + kFileManifest;
  const uint64_t stride = 1 + fs::file_size(manifest) / wanted_flips();
  for (uint64_t offset = 0; offset < fs::file_size(manifest); offset += stride) {
    expect_flip_seen(manifest, offset, static_cast<uint8_t>(1u << (offset % 8)));
    expect_flip_seen(manifest, offset, 0x20);  // letters change case, spaces vanish
  }
  training_.load(path_);
}

TEST_F(CheckpointDamageTest, Truncation) {
  for (const File& file : files_) {
    const std::string whole = read_file(file.path);
    const uint64_t step = file.bytes < 1000 ? 1 : 4096;
    for (uint64_t bytes = 0; bytes < file.bytes; bytes += step) {
      fs::resize_file(file.path, bytes);
      expect_seen(file.path + " cut to " + std::to_string(bytes));
    }
    fs::resize_file(file.path, file.bytes - 1);
    expect_seen(file.path + " without its last byte");
    fs::remove(file.path);
    expect_seen("no " + file.path);
    write_file(file.path, whole + '\0');
    expect_seen(file.path + " with one more byte");
    write_file(file.path, whole);
  }
  training_.load(path_);
}

}  // namespace
}  // namespace switchyard
