#include "train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "checkpoint/file_manifest.h"
#include "model/model_directory.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

ModelConfig tiny() {
  ModelConfig config;
  config.d_model = 8;
  config.d_ff = 6;
  config.d_kv = 4;
  config.num_heads = 2;
  config.num_encoder_layers = 2;
  config.num_decoder_layers = 2;
  config.vocab_size = 13;
  config.moe.num_experts = 3;
  config.moe.attention_experts = "feed_forward";
  return config;
}

/// A model and an optimizer whose state is filled with numbers.
struct Training {
  explicit Training(const std::string& kind, uint64_t seed) : model(tiny(), Precision::kFloat32) {
    OptimizerConfig config;
    config.kind = kind;
    config.min_dim_factored = 4;
    model.parameters().initialize(seed);
    optimizer = make_optimizer(config, model.parameters());
    double value = static_cast<double>(seed);
    for (const OptimizerTensor& state : optimizer->state()) state.tensor.fill_(value += 0.125);
    optimizer->set_steps_done(static_cast<int64_t>(seed) * 10);
  }
  EncoderDecoder model;
  std::unique_ptr<Optimizer> optimizer;
};

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() : folder_(::testing::TempDir() + format("checkpoint-{}", ::getpid())) {
    fs::remove_all(folder_);
    make_directories(folder_);
    write_file(folder_ + "/spiece.model", "a tokenizer");
    position_.step = 7;
    position_.next_sequence = 56;
    position_.tokens = 999;
    position_.seconds = 0.1 + 0.2;
    position_.window.steps = 2;
    position_.window.loss = 1.0 / 3.0;
    position_.data = "0123";
  }
  ~CheckpointTest() override { fs::remove_all(folder_); }

  void save(Training& training) const {
    fs::remove_all(path());
    save_checkpoint(path(), training.model, *training.optimizer, position_,
                    {.tokenizer = folder_ + "/spiece.model"});
  }
  std::string path() const { return folder_ + "/step-00000007"; }

  std::string folder_;
  TrainPosition position_;
};

TEST_F(CheckpointTest, RestoresEverythingToTheBit) {
  for (const char* kind : {"adafactor", "adamw"}) {
    Training saved(kind, 1), loaded(kind, 2);
    save(saved);
    const TrainPosition position = load_checkpoint(path(), loaded.model, *loaded.optimizer);
    EXPECT_EQ(position.step, 7);
    EXPECT_EQ(position.next_sequence, 56);
    EXPECT_EQ(position.tokens, 999);
    EXPECT_EQ(position.seconds, position_.seconds);
    EXPECT_EQ(position.window.to_json(), position_.window.to_json());
    EXPECT_EQ(position.data, "0123");
    EXPECT_EQ(loaded.optimizer->steps_done(), 10);
    const auto ours = saved.optimizer->state(), theirs = loaded.optimizer->state();
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_TRUE(at::equal(ours[i].tensor, theirs[i].tensor)) << ours[i].name;
    }
    for (const Parameter& parameter : saved.model.parameters().all()) {
      EXPECT_TRUE(
          at::equal(parameter.value(), loaded.model.parameters().find(parameter.name())->value()));
    }
    EXPECT_EQ(read_file(path() + "/spiece.model"), "a tokenizer");
    EXPECT_FALSE(fs::exists(path() + ".tmp"));
  }
}

TEST_F(CheckpointTest, AnyDamageToAnyFileIsSeenAndNamed) {
  Training training("adafactor", 1);
  save(training);
  const auto entries = read_file_manifest(path());
  EXPECT_EQ(entries.size(), 6u);
  for (const ManifestEntry& entry : entries) {
    save(training);
    std::string bytes = read_file(path() + "/" + entry.path);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file(path() + "/" + entry.path, bytes);
    try {
      load_checkpoint(path(), training.model, *training.optimizer);
      ADD_FAILURE() << entry.path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
      EXPECT_THAT(error.what(), HasSubstr(entry.path));
    }
  }
}

TEST_F(CheckpointTest, AnotherOptimizerIsRefused) {
  Training adafactor("adafactor", 1), adamw("adamw", 1);
  save(adafactor);
  try {
    load_checkpoint(path(), adamw.model, *adamw.optimizer);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no shared.weight.first_moment [13, 8]"));
  }
}

TEST_F(CheckpointTest, UnsoundStateIsRefused) {
  Training training("adafactor", 1);
  for (const char* state : {"[]", "{}", R"({"step": "7"})", "{", R"({"step": 7, "window": []})"}) {
    save(training);
    write_file(path() + "/training_state/state.json", state);
    write_file_manifest(path());  // the checksum fits: what was written was no state
    try {
      load_checkpoint(path(), training.model, *training.optimizer);
      ADD_FAILURE() << state;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kDamaged) << error.what();
    }
  }
}

}  // namespace
}  // namespace switchyard
