// What a failure at any file call of a checkpoint leaves behind, and the order in which files reach
// the disk.
#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <map>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/file_faults.h"
#include "base/files.h"
#include "tests/small_disk.h"
#include "tests/temporary_folder.h"
#include "train/checkpoint_writer.h"
#include "train/run_directory.h"
#include "train/test_training.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;
using testing::TinyTraining;

constexpr int64_t kOldStep = 2, kNewStep = 4, kLastStep = 5;

class CheckpointFaultsTest : public ::testing::Test {
 protected:
  CheckpointFaultsTest() {
    write_file(folder_ / "spiece.model", "a tokenizer");
    options_.tokenizer = folder_ / "spiece.model";
    options_.shard_bytes = 10000;  // several files of weights, several of optimizer state
    const RunDirectory run(folder_ / "start", TinyTraining().recipe());
    TinyTraining training;
    training.train_to(kOldStep);
    save_checkpoint(run.checkpoint_path(kOldStep), training.model(), training.optimizer(),
                    training.position(), options_);
    training.train_to(kLastStep);
    expected_ = training.digest();
  }

  /// A process that takes up the run, saves at kNewStep and goes on, until it fails or is done.
  /// Returns whether it failed.
  bool trains_on(const RunDirectory& run) const {
    TinyTraining training;
    training.load(run.checkpoint_path(kOldStep));
    try {
      CheckpointWriter writer(training.model(), training.optimizer(), options_, 0.1);
      training.train_to(kNewStep);
      writer.start(run.checkpoint_path(kNewStep), training.position(),
                   [&run] { run.remove_old_checkpoints({.newest = 1}); });
      training.train_to(kLastStep);
      writer.finish();
    } catch (const Error&) {
      return true;
    }
    return false;
  }

  TemporaryFolder folder_;
  // In memory where that may be mounted: thousands of syncs.
  testing::SmallDisk disk_{folder_.path(), 32 * 1024};
  CheckpointOptions options_;
  std::string expected_;
};

TEST_F(CheckpointFaultsTest, AnyFaultLeavesTheOldCheckpointOrTheNewOne) {
  std::map<FaultKind, int64_t> struck;
  int64_t old_ones = 0, new_ones = 0;
  for (const FaultKind kind :
       {FaultKind::kDiskFull, FaultKind::kInputOutput, FaultKind::kShortWrite,
        FaultKind::kCrashBefore, FaultKind::kCrashWithin, FaultKind::kCrashAfter}) {
    for (int64_t at = 1;; ++at) {
      SCOPED_TRACE(::testing::Message() << "fault " << static_cast<int>(kind) << " at call " << at);
      const std::string path = folder_ / "run";
      remove_tree(path);
      fs::copy(folder_ / "start", path, fs::copy_options::recursive);
      bool failed = false;
      int64_t calls = 0;
      {
        const RunDirectory run(path, TinyTraining().recipe());
        ::testing::internal::CaptureStderr();  // warnings of what could not be removed
        const FileFaults faults({kind, at, ""});
        failed = trains_on(run);
        calls = faults.calls();
        struck[kind] += faults.has_struck();
      }
      ::testing::internal::GetCapturedStderr();
      const RunDirectory run(path, TinyTraining().recipe());
      const std::vector<int64_t> steps = run.checkpoints();
      ASSERT_FALSE(steps.empty());
      EXPECT_TRUE(steps.back() == kOldStep || steps.back() == kNewStep);
      EXPECT_TRUE(failed || steps.back() == kNewStep);
      (steps.back() == kOldStep ? old_ones : new_ones) += 1;
      for (const int64_t step : steps) {
        TinyTraining training;
        training.load(run.checkpoint_path(step));
        training.train_to(kLastStep);
        EXPECT_EQ(training.digest(), expected_) << "from step " << step;
      }
      for (const auto& entry : fs::directory_iterator(path + "/checkpoints")) {
        EXPECT_TRUE(entry.path().extension() != ".tmp") << entry.path();
      }
      if (calls < at) break;
    }
  }
  EXPECT_GT(struck[FaultKind::kDiskFull], 50);
  EXPECT_EQ(struck[FaultKind::kInputOutput], struck[FaultKind::kDiskFull]);
  EXPECT_GT(struck[FaultKind::kShortWrite], 10);
  EXPECT_GT(old_ones, 100);
  EXPECT_GT(new_ones, 30);
  std::cout << "ended in the old checkpoint: " << old_ones << ", in the new one: " << new_ones
            << "; file calls of a save: " << struck[FaultKind::kDiskFull] << "\n";
}

/// Knows what a power cut would lose: bytes written but not synced, names made in folders that were
/// not synced since.
class PowerCut : public FileHook {
 public:
  PowerCut() { set_file_hook(this); }
  ~PowerCut() override { set_file_hook(nullptr); }

  int before(FileCall call, const std::string& path, size_t&) override {
    const std::lock_guard lock(mutex_);
    if (call == FileCall::kRename) lost_at_rename[path] = lost_;
    if (call == FileCall::kCreate) lost_at_create[path] = lost_;
    return 0;
  }
  void after(FileCall call, const std::string& path) override {
    const std::lock_guard lock(mutex_);
    if (call == FileCall::kSync) {
      lost_.erase(path);
    } else if (call == FileCall::kWrite) {
      lost_.insert(path);
    } else if (call != FileCall::kRemove) {
      lost_.insert(fs::path(path).parent_path().string());
    }
  }
  const std::set<std::string>& lost() const { return lost_; }

  std::map<std::string, std::set<std::string>> lost_at_rename, lost_at_create;

 private:
  std::mutex mutex_;
  std::set<std::string> lost_;
};

TEST_F(CheckpointFaultsTest, APowerCutLosesNothingThatHasAName) {
  PowerCut power;
  const std::string path = folder_ / "cut/run";
  const RunDirectory run(path, TinyTraining().recipe());
  EXPECT_TRUE(power.lost().empty());
  TinyTraining training;
  const std::string checkpoint = run.checkpoint_path(0);
  save_checkpoint(checkpoint, training.model(), training.optimizer(), training.position(),
                  options_);
  EXPECT_TRUE(power.lost().empty());
  ASSERT_TRUE(power.lost_at_rename.contains(checkpoint));
  EXPECT_TRUE(power.lost_at_rename[checkpoint].empty());
  // When the manifest is begun, all that it lists is safe but for the folder of its own name.
  int manifests = 0;
  for (const auto& [created, lost] : power.lost_at_create) {
    if (created.find("manifest.json") == std::string::npos) continue;
    ++manifests;
    EXPECT_TRUE(lost.empty()) << *lost.begin();
  }
  EXPECT_EQ(manifests, 1);
}

}  // namespace
}  // namespace switchyard
