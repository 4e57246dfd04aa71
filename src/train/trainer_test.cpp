// Whole runs through train(): what findings lead to, in models that were harmed on purpose.
#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"
#include "train/checkpoint.h"
#include "train/health/roll_backs.h"
#include "train/metrics_log.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kExpert = "encoder.block.1.layer.1.mlp.experts.wi.weight";
constexpr const char* kExpertInWords = "encoder block 1, feed-forward, expert 2";

class TrainerHealthTest : public ::testing::Test {
 protected:
  TrainerHealthTest() {
    auto documents = testing::counting_documents(9000, 90);
    for (std::vector<int32_t>& document : documents) {
      for (int32_t& id : document) id = 3 + id * id % 97;  // something that can be learned
    }
    testing::write_prepared(folder_ / "data", documents, 300);
    ModelConfig& model = recipe_.model;
    model.d_model = 16;
    model.d_ff = 24;
    model.d_kv = 8;
    model.num_heads = 2;
    model.num_encoder_layers = 2;
    model.num_decoder_layers = 2;
    model.vocab_size = 300;
    model.moe.num_experts = 4;
    model.dropout = 0.1;
    recipe_.data.train = {{folder_ / "data", 1.0}};
    recipe_.data.input_length = 32;
    recipe_.optimizer.warmup_steps = 10;
    recipe_.train.steps = 20;
    recipe_.train.batch_sequences = 8;
    recipe_.train.precision = "fp32";
    recipe_.train.log_every = 1;
    recipe_.train.checkpoint_every = 5;
    recipe_.train.keep_checkpoints = 0;
    recipe_.train.tensorboard = false;
  }

  using Harm = std::function<void(int64_t, EncoderDecoder&)>;

  TrainSummary train_to(int64_t steps, const std::string& run, const Harm& harm = {}) {
    Recipe recipe = recipe_;
    recipe.train.steps = steps;
    return train(
        recipe,
        {.run_directory = folder_ / run, .threads = 2, .version = "test", .before_step = harm});
  }

  /// A flipped bit in memory: NaN in one weight of an expert, before step `step` and the first
  /// `times` times that the run comes by.
  static Harm harm_expert(int64_t step, int times = 1) {
    return [step, left = times](int64_t at, EncoderDecoder& model) mutable {
      if (at != step || left-- <= 0) return;
      model.parameters().find(kExpert)->value().detach()[2][0][0] =
          std::numeric_limits<float>::quiet_NaN();
    };
  }

  /// Changes the weights of a checkpoint, which stays sound otherwise.
  void poison(const std::string& run, int64_t step, const std::string& name,
              const std::function<void(at::Tensor)>& change) {
    const std::string path = checkpoint_path(folder_ / run, step);
    EncoderDecoder model(recipe_.model, Precision::kFloat32);
    const auto optimizer = make_optimizer(recipe_.optimizer, model.parameters());
    const TrainPosition position = load_checkpoint(path, model, *optimizer);
    change(model.parameters().find(name)->value().detach());
    fs::remove_all(path);
    save_checkpoint(path, model, *optimizer, position,
                    {.tokenizer = folder_ / "data/spiece.model"});
  }

  std::vector<json> events(const std::string& run, const std::string& name) const {
    std::vector<json> found;
    for (const json& line : read_metrics(folder_ / run + "/metrics.jsonl").lines) {
      if (line["kind"] == "event" && line["event"] == name) found.push_back(line);
    }
    return found;
  }
  /// `train` lines without what depends on the clock or the machine.
  std::vector<json> metrics(const std::string& run) const {
    std::vector<json> found;
    for (json line : read_metrics(folder_ / run + "/metrics.jsonl").lines) {
      if (line["kind"] == "event") continue;
      for (const char* key :
           {"seconds", "tokens_per_second", "gemm_share", "loader_share", "peak_memory"}) {
        line.erase(key);
      }
      found.push_back(line);
    }
    return found;
  }
  void expect_same_weights(const std::string& a, const std::string& b, int64_t step) {
    EncoderDecoder first(recipe_.model, Precision::kFloat32),
        second(recipe_.model, Precision::kFloat32);
    const auto one = make_optimizer(recipe_.optimizer, first.parameters());
    const auto two = make_optimizer(recipe_.optimizer, second.parameters());
    load_checkpoint(checkpoint_path(folder_ / a, step), first, *one);
    load_checkpoint(checkpoint_path(folder_ / b, step), second, *two);
    for (size_t i = 0; i < first.parameters().all().size(); ++i) {
      const Parameter& left = first.parameters().all()[i];
      EXPECT_TRUE(left.value().equal(second.parameters().all()[i].value())) << left.name();
    }
    for (size_t i = 0; i < one->state().size(); ++i) {
      EXPECT_TRUE(one->state()[i].tensor.equal(two->state()[i].tensor)) << one->state()[i].name;
    }
  }

  testing::TemporaryFolder folder_;
  Recipe recipe_;
};

TEST_F(TrainerHealthTest, StopNamesTheExpertAndLeavesTheCheckpoint) {
  recipe_.health.not_finite = "stop";
  const Error error = testing::error_of([&] { train_to(20, "run", harm_expert(6)); });
  EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("the loss became NaN"), HasSubstr(kExpertInWords),
                                  HasSubstr("; step 6; ")));
  EXPECT_THAT(list_checkpoints(folder_ / "run"), ElementsAre(5));
  EXPECT_EQ(events("run", "finding").size(), 1u);
}

TEST_F(TrainerHealthTest, SkipLeavesUpdatesOutThenStops) {
  recipe_.health.in_a_row = 3;
  train_to(5, "run");
  recipe_.train.checkpoint_every = 1;
  const Error error = testing::error_of([&] { train_to(20, "run", harm_expert(6)); });
  EXPECT_THAT(error.what(), AllOf(HasSubstr(kExpertInWords), HasSubstr("health.in_a_row = 3"),
                                  HasSubstr("; step 9; ")));
  const std::vector<json> found = events("run", "finding");
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0]["finding"], "not_finite");
  EXPECT_EQ(found[0]["action"], "skip");
  EXPECT_EQ(found[0]["found_at_step"], 6);
  EXPECT_THAT(found[0]["text"].get<std::string>(), HasSubstr(kExpertInWords));
  const json line = metrics("run").back();
  EXPECT_EQ(line["step"], 8);
  EXPECT_EQ(line["skipped_updates"], 1);
  EXPECT_FALSE(line.contains("loss"));
  EXPECT_THAT(list_checkpoints(folder_ / "run"), ElementsAre(5)) << "none of weights with NaN";
}

TEST_F(TrainerHealthTest, RollBackTakesTheLastGoodCheckpointAndOtherBatches) {
  recipe_.health.not_finite = "roll_back";
  EXPECT_TRUE(train_to(20, "run", harm_expert(13)).finished);
  const std::vector<RollBack> all = read_roll_backs(folder_ / "run");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].step, 13);
  EXPECT_EQ(all[0].checkpoint, 10);
  EXPECT_EQ(all[0].begin, 10u);
  EXPECT_EQ(all[0].end, 13u);
  EXPECT_THAT(all[0].reason, HasSubstr(kExpertInWords));
  EXPECT_EQ(events("run", "rolled_back").size(), 1u);
  EXPECT_EQ(events("run", "rolled_back")[0]["skipped_batches"], json::array({10, 13}));

  // A run that leaves these batches out by itself does the same steps.
  train_to(10, "reference");
  write_roll_backs(folder_ / "reference", all);
  train_to(20, "reference");
  expect_same_weights("run", "reference", 20);
  EXPECT_EQ(metrics("run"), metrics("reference"));
  // The checkpoint knows them itself: no list is needed to go on from it.
  const TrainPosition position = read_position(checkpoint_path(folder_ / "run", 20));
  EXPECT_EQ(position.skipped, batches_skipped_by(all));
  EXPECT_EQ(position.next_sequence, (20 + 3) * 8);
}

TEST_F(TrainerHealthTest, RollBackPassesOverADamagedCheckpoint) {
  recipe_.health.not_finite = "roll_back";
  const std::string newest = checkpoint_path(folder_ / "run", 10);
  const Harm harm = harm_expert(13);
  train_to(20, "run", [&](int64_t step, EncoderDecoder& model) {
    if (step == 12) fs::remove_all(newest + "/training_state");
    harm(step, model);
  });
  const std::vector<RollBack> all = read_roll_backs(folder_ / "run");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].checkpoint, 5);
  EXPECT_EQ(all[0].begin, 5u);
  EXPECT_TRUE(fs::exists(newest + ".damaged"));
}

// Killed after the roll back and before a new checkpoint, or after one: the same steps follow.
TEST_F(TrainerHealthTest, RunThatWasRolledBackContinuesToTheBit) {
  recipe_.health.not_finite = "roll_back";
  recipe_.health.skip_batches = 2;
  train_to(20, "whole", harm_expert(13));
  train_to(13, "parts", harm_expert(13));
  fs::remove_all(checkpoint_path(folder_ / "parts", 13));  // as if killed before it
  for (const int64_t steps : {16, 20}) train_to(steps, "parts");
  EXPECT_EQ(read_roll_backs(folder_ / "parts").size(), 1u);
  EXPECT_EQ(read_roll_backs(folder_ / "parts")[0].begin, 11u);
  EXPECT_EQ(metrics("parts"), metrics("whole"));
  expect_same_weights("parts", "whole", 20);
}

TEST_F(TrainerHealthTest, RollBacksEnd) {
  recipe_.health.not_finite = "roll_back";
  const Error nowhere = testing::error_of([&] { train_to(20, "run", harm_expert(3)); });
  EXPECT_THAT(nowhere.what(), AllOf(HasSubstr(kExpertInWords), HasSubstr("no sound checkpoint")));
  recipe_.health.in_a_row = 2;
  const Error again = testing::error_of([&] { train_to(20, "other", harm_expert(7, 100)); });
  EXPECT_THAT(again.what(), HasSubstr("2 returns to step 5 did not help"));
  EXPECT_EQ(read_roll_backs(folder_ / "other").size(), 2u);
  EXPECT_THAT(list_checkpoints(folder_ / "other"), ElementsAre(5));
}

TEST_F(TrainerHealthTest, SpikePolicies) {
  recipe_.health.spike_window = 8;
  // A spike that one update mends again in part: what counts is step 11.
  const auto spiked = [&](const std::string& run) {
    train_to(10, run);
    poison(run, 10, "shared.weight", [](at::Tensor weights) { weights.mul_(8); });
    return train_to(12, run);
  };
  EXPECT_TRUE(spiked("warn").finished);
  ASSERT_GE(events("warn", "finding").size(), 1u);
  EXPECT_EQ(events("warn", "finding")[0]["finding"], "spike");
  EXPECT_EQ(events("warn", "finding")[0]["action"], "go on");
  EXPECT_EQ(metrics("warn").at(10)["skipped_updates"], 0);

  recipe_.health.spike = "skip";
  EXPECT_TRUE(spiked("skip").finished);
  EXPECT_EQ(metrics("skip").at(10)["skipped_updates"], 1);
  EXPECT_GE(read_position(checkpoint_path(folder_ / "skip", 12)).health.skipped_updates, 1);

  recipe_.health.spike = "stop";
  EXPECT_THAT(testing::error_of([&] { spiked("stop"); }).what(), HasSubstr("the loss jumped to"));
}

TEST_F(TrainerHealthTest, SkippedStepsContinueToTheBit) {
  recipe_.health.spike_window = 8;
  recipe_.health.spike = "skip";
  for (const char* run : {"whole", "parts"}) {
    train_to(10, run);
    poison(run, 10, "shared.weight", [](at::Tensor weights) { weights.mul_(8); });
  }
  train_to(18, "whole");
  for (const int64_t steps : {11, 13, 14, 18}) train_to(steps, "parts");
  EXPECT_EQ(metrics("parts"), metrics("whole"));
  EXPECT_GE(events("whole", "finding").size(), 1u);
  expect_same_weights("parts", "whole", 18);
}

TEST_F(TrainerHealthTest, LineOfMetricsHasNormsOfBlocks) {
  train_to(2, "run");
  const json line = metrics("run").back();
  EXPECT_EQ(line["skipped_updates"], 0);
  ASSERT_EQ(line["blocks"].size(), 7u);
  double squares = 0;
  for (const json& block : line["blocks"]) {
    squares += std::pow(block["gradient_norm"].get<double>(), 2);
    EXPECT_GT(block["update_norm"].get<double>(), 0) << block;
  }
  const double norm = line["gradient_norm"].get<double>();
  EXPECT_NEAR(std::sqrt(squares), norm, 1e-9 * norm);
}

}  // namespace
}  // namespace switchyard
