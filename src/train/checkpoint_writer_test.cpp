#include "train/checkpoint_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/file_faults.h"
#include "base/files.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"
#include "train/test_training.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::TinyTraining;

/// Delays every write, as a slow disk.
class SlowDisk : public FileHook {
 public:
  explicit SlowDisk(std::chrono::milliseconds delay) : delay_(delay) { set_file_hook(this); }
  ~SlowDisk() override { set_file_hook(nullptr); }
  int before(FileCall call, const std::string&, size_t&) override {
    if (call == FileCall::kWrite) std::this_thread::sleep_for(delay_);
    return 0;
  }
  void after(FileCall, const std::string&) override {}

 private:
  std::chrono::milliseconds delay_;
};

class CheckpointWriterTest : public ::testing::Test {
 protected:
  CheckpointWriterTest() {
    write_file(folder_ / "spiece.model", "a tokenizer");
    options_.tokenizer = folder_ / "spiece.model";
  }
  TemporaryFolder folder_;
  CheckpointOptions options_;
};

// Steps go on while the checkpoint is written; it holds the state at its start.
TEST_F(CheckpointWriterTest, HoldsTheStateOfItsStart) {
  for (const char* kind : {"adamw", "adafactor"}) {
    for (const double share : {0.0, 0.1, 1.0}) {
      for (const int delay : {0, 3}) {
        const std::string path = folder_ / "checkpoint";
        remove_tree(path);
        TinyTraining training(kind), loaded(kind);
        training.train_to(2);
        const std::string expected = training.digest();
        CheckpointWriter writer(training.model(), training.optimizer(), options_, share);
        {
          const SlowDisk disk{std::chrono::milliseconds(delay)};
          writer.start(path, training.position());
          training.train_to(4);
          writer.finish();
        }
        loaded.load(path);
        EXPECT_EQ(loaded.digest(), expected);
        loaded.train_to(4);
        EXPECT_EQ(loaded.digest(), training.digest());
        const auto limit =
            share * static_cast<double>(checkpoint_contents(training.model(), training.optimizer(),
                                                            training.position())
                                            .total_bytes());
        EXPECT_LE(static_cast<double>(writer.copied_bytes()), limit);
        EXPECT_GT(writer.stall_seconds(), 0);
      }
    }
  }
}

TEST_F(CheckpointWriterTest, KnowsHowLongTheLastOneTook) {
  TinyTraining training;
  CheckpointWriter writer(training.model(), training.optimizer(), options_, 1.0);
  EXPECT_FALSE(writer.written_seconds());
  const auto start = std::chrono::steady_clock::now();
  {
    const SlowDisk disk{std::chrono::milliseconds(3)};
    writer.start(folder_ / "1", training.position());
    writer.finish();
  }
  const std::chrono::duration<double> gone = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(writer.written_seconds());
  EXPECT_GE(*writer.written_seconds(), 0.003);
  EXPECT_LE(*writer.written_seconds(), gone.count());
  const FileFaults faults({FaultKind::kDiskFull, 3, "2"});
  writer.start(folder_ / "2", training.position());
  EXPECT_THROW(writer.finish(), Error);
  EXPECT_FALSE(writer.written_seconds());
}

TEST_F(CheckpointWriterTest, OneAtATimeInOrder) {
  TinyTraining training;
  std::vector<int64_t> done;
  {
    CheckpointWriter writer(training.model(), training.optimizer(), options_, 1.0);
    for (int64_t step = 1; step <= 5; ++step) {
      training.train_to(step);
      writer.start(folder_ / std::to_string(step), training.position(),
                   [&done, step] { done.push_back(step); });
    }
  }  // the last one is waited for
  EXPECT_EQ(done, (std::vector<int64_t>{1, 2, 3, 4, 5}));
  TinyTraining loaded;
  loaded.load(folder_ / "5");
  EXPECT_EQ(loaded.digest(), training.digest());
}

TEST_F(CheckpointWriterTest, ItsErrorsComeToTheTrainingThread) {
  TinyTraining training;
  CheckpointWriter writer(training.model(), training.optimizer(), options_, 0.0);
  const auto fails = [&](const auto& use) {
    EXPECT_THAT(error_of(use).what(), HasSubstr("No space left"));
    EXPECT_FALSE(fs::exists(folder_ / "x"));
    EXPECT_FALSE(fs::exists(folder_ / "x.tmp"));
  };
  const auto start = [&] { writer.start(folder_ / "x", training.position()); };
  {
    const FileFaults faults({FaultKind::kDiskFull, 3, "x"});
    start();
    fails([&] { writer.finish(); });
  }
  {
    const FileFaults faults({FaultKind::kDiskFull, 3, "x"});
    start();
    fails(start);
  }
  {
    // The first update waits for the writer, which fails; that or a later update tells.
    const FileFaults faults({FaultKind::kDiskFull, 3, "x"});
    start();
    int64_t step = 0;
    fails([&] {
      for (; step < 10000; ++step) training.train_to(step + 1);
    });
    EXPECT_EQ(training.optimizer().steps_done(), training.step());
  }
  start();
  writer.finish();
  EXPECT_TRUE(fs::exists(folder_ / "x"));
}

TEST_F(CheckpointWriterTest, WhatNobodyAsksForIsLogged) {
  TinyTraining training;
  const FileFaults faults({FaultKind::kDiskFull, 3, "x"});
  ::testing::internal::CaptureStderr();
  {
    CheckpointWriter writer(training.model(), training.optimizer(), options_, 0.0);
    writer.start(folder_ / "x", training.position());
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("No space left"));
  training.train_to(1);  // the optimizer has forgotten the writer
}

}  // namespace
}  // namespace switchyard
