#include "train/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "checkpoint/file_manifest.h"
#include "train/checkpoint.h"
#include "train/metrics_window.h"

namespace switchyard {
namespace {

using testing::ElementsAre;
namespace fs = std::filesystem;

class RunDirectoryTest : public testing::Test {
 protected:
  RunDirectoryTest() : path_(testing::TempDir() + format("run-directory-{}", ::getpid())) {
    fs::remove_all(path_);
  }
  ~RunDirectoryTest() override { fs::remove_all(path_); }

  /// A directory that counts as a checkpoint.
  std::string make_checkpoint(int64_t step) const {
    const std::string checkpoint = format("{}/checkpoints/step-{:08}", path_, step);
    make_directories(checkpoint + "/training_state");
    write_file(checkpoint + "/config.json", "{}");
    write_file_manifest(checkpoint);
    return checkpoint;
  }

  std::string path_;
  Recipe recipe_;
};

TEST_F(RunDirectoryTest, KeepsTheRecipeAsRun) {
  recipe_.train.steps = 77;
  const RunDirectory run(path_, recipe_);
  EXPECT_EQ(load_recipe(path_ + "/recipe.toml").to_toml(), recipe_.to_toml());
}

TEST_F(RunDirectoryTest, OneProcessAtATime) {
  const RunDirectory run(path_, recipe_);
  EXPECT_THROW(RunDirectory(path_, recipe_), Error);
}

TEST_F(RunDirectoryTest, LongerIsTheSameRunOtherSeedIsNot) {
  { const RunDirectory run(path_, recipe_); }
  recipe_.train.steps += 1000;
  { const RunDirectory run(path_, recipe_); }
  EXPECT_EQ(load_recipe(path_ + "/recipe.toml").train.steps, recipe_.train.steps);
  recipe_.train.seed = 2;
  EXPECT_THROW(RunDirectory(path_, recipe_), Error);
  EXPECT_EQ(load_recipe(path_ + "/recipe.toml").train.seed, 1);
}

TEST_F(RunDirectoryTest, WhatAKilledProcessLeftGoes) {
  { const RunDirectory run(path_, recipe_); }
  make_checkpoint(20);
  const std::string folder = path_ + "/checkpoints/";
  for (const char* name : {"step-00000040.tmp", ".removing-00000010", "notes"}) {
    make_directories(folder + name);
  }
  const RunDirectory run(path_, recipe_);
  EXPECT_FALSE(fs::exists(folder + "step-00000040.tmp"));
  EXPECT_FALSE(fs::exists(folder + ".removing-00000010"));
  EXPECT_TRUE(fs::exists(folder + "notes"));
  EXPECT_THAT(run.checkpoints(), ElementsAre(20));
}

TEST_F(RunDirectoryTest, AProcessKilledAtItsStartIsNoHindrance) {
  make_directories(path_);
  for (const char* name : {".lock", "recipe.toml.tmp-123", "run.json.tmp-5"}) {
    write_file(path_ + "/" + name, "half");
  }
  const RunDirectory run(path_, recipe_);
  EXPECT_TRUE(fs::exists(path_ + "/recipe.toml"));
  EXPECT_FALSE(fs::exists(path_ + "/recipe.toml.tmp-123"));
  EXPECT_FALSE(fs::exists(path_ + "/run.json.tmp-5"));
}

TEST_F(RunDirectoryTest, KeepsTheBestAndEveryNth) {
  const RunDirectory run(path_, recipe_);
  for (const int64_t step : {10, 20, 25, 30, 35}) {
    const std::string checkpoint = make_checkpoint(step);
    const std::string nlp = step == 25 ? "" : format(R"(, "nlp": {})", step == 30 ? -1.0 : -2.0);
    write_file(checkpoint + "/training_state/state.json",
               format(R"({{"step": {}, "next_sequence": 0, "tokens": 0, "seconds": 0, "data": "",)"
                      R"( "window": {}{}}})",
                      step, MetricsWindow().to_json().dump(), nlp));
  }
  run.remove_old_checkpoints({.newest = 1, .every = 20, .best = 1, .metric = kNlpMetric});
  EXPECT_THAT(run.checkpoints(), ElementsAre(20, 30, 35));
}

TEST_F(RunDirectoryTest, CheckpointsInOrderOldOnesGo) {
  const RunDirectory run(path_, recipe_);
  for (const int64_t step : {1000, 20, 300}) make_checkpoint(step);
  make_directories(path_ + "/checkpoints/step-00000400.tmp");
  make_directories(path_ + "/checkpoints/notes");
  EXPECT_THAT(run.checkpoints(), ElementsAre(20, 300, 1000));
  run.remove_old_checkpoints({});
  EXPECT_EQ(run.checkpoints().size(), 3u);
  run.remove_old_checkpoints({.newest = 2});
  EXPECT_THAT(run.checkpoints(), ElementsAre(300, 1000));
  EXPECT_TRUE(fs::exists(path_ + "/checkpoints/notes"));
}

TEST_F(RunDirectoryTest, MetricsBeyondTheCheckpointAreDropped) {
  const RunDirectory run(path_, recipe_);
  write_file(run.metrics_path(),
             "{\"kind\":\"train\",\"step\":5}\n{\"kind\":\"eval\",\"step\":10}\n"
             "{\"kind\":\"train\",\"step\":15}\nnot json\n{\"step\":\"x\"}\n{\"kind\":\"tra");
  run.cut_metrics(10);
  EXPECT_EQ(read_file(run.metrics_path()),
            "{\"kind\":\"train\",\"step\":5}\n{\"kind\":\"eval\",\"step\":10}\n");
}

TEST_F(RunDirectoryTest, FindsTheModel) {
  EXPECT_THROW(find_model_directory(path_), Error);
  {
    const RunDirectory run(path_, recipe_);
    EXPECT_THROW(find_model_directory(path_), Error);
    make_checkpoint(5);
    EXPECT_EQ(find_model_directory(path_), make_checkpoint(15));
  }
  write_file(path_ + "/config.json", "{}");
  EXPECT_EQ(find_model_directory(path_), path_);
}

TEST_F(RunDirectoryTest, PassesOverDamagedCheckpoints) {
  const RunDirectory run(path_, recipe_);
  const std::string older = make_checkpoint(5), newer = make_checkpoint(15);
  write_file(newer + "/config.json", "{ }");
  testing::internal::CaptureStderr();
  EXPECT_EQ(find_model_directory(path_), older);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr(newer + "/config.json"));
  EXPECT_THROW(find_model_directory(newer), Error);
  fs::remove(newer + "/" + kFileManifest);
  testing::internal::CaptureStderr();
  EXPECT_EQ(find_model_directory(path_), older);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("manifest.json"));
  run.set_aside(15);
  EXPECT_THAT(run.checkpoints(), ElementsAre(5));
  EXPECT_TRUE(fs::exists(newer + ".damaged/config.json"));
  write_file(older + "/config.json", "{ }");
  EXPECT_THROW(find_model_directory(path_), Error);
}

}  // namespace
}  // namespace switchyard
