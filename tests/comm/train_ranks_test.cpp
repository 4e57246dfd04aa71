// Training on several ranks through the real program: the same numbers as on one, and what happens
// when one of them does not go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/files.h"
#include "base/format.h"
#include "checkpoint/tensor_files.h"
#include "comm/mesh.h"
#include "tests/integration/program.h"
#include "tests/integration/tiny_run.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kTolerance = 1e-5;

class TrainRanks : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    make_tiny_data(*shared_);
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::vector<std::string> command(const std::string& run,
                                          std::vector<std::string> settings) {
    for (const char* setting :
         {"train.micro_batch_sequences=0", "model.moe.group_sequences=2",
          "model.moe.expert_dropout=0.2", "model.d_ff=512", "optimizer.min_dim_factored=8"}) {
      settings.insert(settings.begin(), setting);
    }
    return tiny_train_command(*shared_, run, settings, "1");
  }

  /// Puts mpirun before the program.
  static std::string on_ranks(int64_t ranks) {
    return format("set -- mpirun --allow-run-as-root --oversubscribe --bind-to none -np {} \"$@\"",
                  ranks);
  }

  static ProgramResult train_on(const MeshShape& mesh, const std::string& run,
                                std::vector<std::string> settings) {
    settings.push_back(format("mesh.data={}", mesh.data));
    settings.push_back(format("mesh.expert={}", mesh.expert));
    settings.push_back(format("mesh.model={}", mesh.model));
    return run_program(command(run, settings), mesh.size() == 1 ? "" : on_ranks(mesh.size()));
  }

  static std::vector<json> metrics(const std::string& run, const std::string& kind) {
    std::vector<json> lines;
    std::istringstream text(read_file(run + "/metrics.jsonl"));
    for (std::string line; std::getline(text, line);) {
      json object = json::parse(line);
      if (object["kind"] == kind) lines.push_back(object);
    }
    return lines;
  }

  /// The processes that mpirun has started.
  static std::vector<pid_t> children_of(pid_t process) {
    std::ifstream file(format("/proc/{}/task/{}/children", process, process));
    std::vector<pid_t> children;
    for (pid_t child = 0; file >> child;) children.push_back(child);
    return children;
  }

  void expect_same_training(const std::vector<MeshShape>& meshes,
                            std::vector<std::string> settings);

  static std::unique_ptr<TemporaryFolder> shared_;
  TemporaryFolder folder_;
};

std::unique_ptr<TemporaryFolder> TrainRanks::shared_;

/// Losses and norms to the tolerance; what the router did to the token.
void expect_same_line(const json& line, const json& expected) {
  for (const char* key : {"step", "tokens"}) EXPECT_EQ(line[key], expected[key]);
  for (const char* key : {"nlp", "loss", "balance_loss", "gradient_norm", "router_entropy"}) {
    if (!expected.contains(key)) continue;
    EXPECT_NEAR(line[key].get<double>(), expected[key].get<double>(), kTolerance) << key;
  }
  EXPECT_EQ(line["dropped_share"], expected["dropped_share"]);
  for (size_t i = 0; i < expected["layers"].size(); ++i) {
    EXPECT_EQ(line["layers"][i]["load"], expected["layers"][i]["load"]);
    EXPECT_EQ(line["layers"][i]["dropped_share"], expected["layers"][i]["dropped_share"]);
    EXPECT_NEAR(line["layers"][i]["balance"].get<double>(),
                expected["layers"][i]["balance"].get<double>(), kTolerance);
  }
}

/// Files of optimizer state name the experts that a rank had; so only weights are compared.
double largest_difference(const std::string& a, const std::string& b, const std::string& stem) {
  const TensorFiles left(a, stem), right(b, stem);
  double largest = left.tensors().size() == right.tensors().size() ? 0 : INFINITY;
  for (const auto& [name, stored] : left.tensors()) {
    const auto* x = reinterpret_cast<const float*>(stored.data().data());
    const auto* y = reinterpret_cast<const float*>(right.find(name)->data().data());
    for (size_t i = 0; i < stored.data().size() / sizeof(float); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
    }
  }
  return largest;
}

/// An optimizer whose updates are linear in the gradients. The others make as much of a gradient
/// that is hardly more than rounding, of a unit that ReLU has shut or of a distance that is rare,
/// as of any.
const std::vector<std::string> kLinearUpdates = {"optimizer.kind=adamw", "optimizer.epsilon=1",
                                                 "optimizer.learning_rate=1"};

std::vector<std::string> with(std::vector<std::string> settings,
                              const std::vector<std::string>& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

/// Trains 20 steps on one rank and on each mesh, and holds what they write against each other.
void TrainRanks::expect_same_training(const std::vector<MeshShape>& meshes,
                                      std::vector<std::string> settings) {
  settings.emplace_back("train.steps=20");
  const std::string checkpoint = "/checkpoints/step-00000020";
  const std::string one = folder_ / "one";
  const ProgramResult alone = train_on({}, one, settings);
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  for (const MeshShape& mesh : meshes) {
    SCOPED_TRACE(mesh.text());
    const std::string many = folder_ / mesh.text();
    const ProgramResult result = train_on(mesh, many, settings);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(json::parse(result.out)["finished"], true) << result.out;
    for (const char* kind : {"train", "eval"}) {
      const auto expected = metrics(one, kind), found = metrics(many, kind);
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) expect_same_line(found[i], expected[i]);
    }
    EXPECT_LT(largest_difference(one + checkpoint, many + checkpoint, kWeightsStem), kTolerance);
  }
}

TEST_F(TrainRanks, DataRanksTrainAsOne) { expect_same_training({{2, 1, 1}, {4, 1, 1}}, {}); }

TEST_F(TrainRanks, ExpertRanksTrainAsOne) {
  expect_same_training({{1, 2, 1}, {1, 4, 1}, {2, 2, 1}}, {});
}

TEST_F(TrainRanks, ModelRanksTrainAsOne) {
  expect_same_training({{1, 1, 2}, {1, 1, 4}, {2, 1, 2}, {1, 2, 2}}, {});
}

TEST_F(TrainRanks, ExchangesInChunksTrainAsOne) {
  expect_same_training({{1, 2, 1}}, {"mesh.exchange_chunks=2", "mesh.background=true"});
}

// Two experts a token, gated feed-forwards, blocks run again in backward, another optimizer.
TEST_F(TrainRanks, OtherModelsTrainAsOne) {
  expect_same_training({{1, 2, 2}},
                       {"model.moe.router=top2", "model.feed_forward=geglu", "train.recompute=true",
                        "optimizer.kind=adamw", "optimizer.learning_rate=0.001",
                        "model.tie_embeddings=false", "mesh.exchange_chunks=4"});
}

TEST_F(TrainRanks, ASharedOptimizerTrainsAsOne) {
  expect_same_training({{2, 1, 1}, {2, 2, 1}, {2, 1, 2}}, {"mesh.share_optimizer=true"});
}

TEST_F(TrainRanks, FrozenPartsTrainAsOne) {
  expect_same_training({{2, 1, 1}, {1, 2, 2}},
                       {"train.freeze=experts,embeddings", "mesh.share_optimizer=true"});
}

TEST_F(TrainRanks, PlainSecondMomentsWithMomentumTrainAsOne) {
  expect_same_training({{1, 2, 2}},
                       {"optimizer.momentum=0.9", "optimizer.min_dim_factored=100000"});
}

TEST_F(TrainRanks, ExpertChoiceTrainsAsOne) {
  expect_same_training({{2, 2, 1}}, with(kLinearUpdates, {"model.moe.router=expert_choice",
                                                          "model.moe.decoder_layers=none"}));
}

TEST_F(TrainRanks, HashedExpertsTrainAsOne) {
  expect_same_training({{2, 2, 1}, {1, 2, 2}}, with(kLinearUpdates, {"model.moe.router=hash"}));
}

// Rounded activations differ by more; a copy of weights that is not refreshed by far more.
TEST_F(TrainRanks, Bfloat16StaysNearOneRank) {
  const std::vector<std::string> settings = {"train.steps=20", "train.precision=bf16-selective",
                                             "mesh.share_optimizer=true"};
  const std::string one = folder_ / "one";
  ASSERT_EQ(train_on({}, one, settings).exit_code, 0);
  const auto expected = metrics(one, "train");
  for (const MeshShape& mesh : {MeshShape{2, 1, 1}, {1, 2, 2}}) {
    SCOPED_TRACE(mesh.text());
    const std::string many = folder_ / mesh.text();
    ASSERT_EQ(train_on(mesh, many, settings).exit_code, 0);
    const auto found = metrics(many, "train");
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), 0.02);
    }
  }
}

// Linear experts in attention, on the ranks of experts.
TEST_F(TrainRanks, ExpertsInAttentionTrainAsOne) {
  expect_same_training({{2, 2, 1}}, {"model.moe.attention_experts=linear"});
}

// More experts than tokens: some ranks have nothing to compute in some layers.
TEST_F(TrainRanks, ExpertsWithoutTokensTrainAsOne) {
  expect_same_training({{1, 4, 1}, {2, 2, 1}},
                       {"model.moe.num_experts=64", "data.input_length=8", "mesh.exchange_chunks=3",
                        "model.moe.router_init_scale=4"});
}

// Long sequences make several rounds, the last of which not all ranks have data for.
TEST_F(TrainRanks, EvaluationsOfUnevenLengthAreThoseOfOne) {
  expect_same_training(
      {{1, 2, 1}, {1, 4, 1}, {1, 2, 2}},
      with(kLinearUpdates, {"data.input_length=256", "train.evaluate_sequences=30"}));
}

// Answers are decoded on rank 0 from the whole model; the others wait.
TEST_F(TrainRanks, AnswersWhileTrainingAreThoseOfOne) {
  std::string lines;
  for (int i = 0; i < 24; ++i) {
    lines += format("{{\"question\": \"is it {}\", \"passage\": \"mino.\", \"label\": {}}}\n", i,
                    i % 2 ? "true" : "false");
  }
  folder_.put("task.jsonl", lines);
  const auto answers = [&](const MeshShape& mesh) {
    const std::string run = folder_ / ("answers " + mesh.text());
    std::vector<std::string> words = {"train",     "--recipe", *shared_ / "recipe.toml",
                                      "--run-dir", run,        "--json",
                                      "--threads", "1"};
    for (const std::string& setting :
         {std::string("objective.kind=seq2seq"), "data.tokenizer=" + (*shared_ / "spiece.model"),
          "tasks.boolq.train=" + (folder_ / "task.jsonl"),
          "tasks.boolq.validation=" + (folder_ / "task.jsonl"), std::string("train.steps=4"),
          std::string("train.micro_batch_sequences=0"), std::string("model.moe.group_sequences=2"),
          std::string("train.evaluate_start=true"), std::string("data.target_length=16"),
          format("mesh.data={}", mesh.data), format("mesh.expert={}", mesh.expert),
          format("mesh.model={}", mesh.model)}) {
      words.insert(words.end(), {"--set", setting});
    }
    const ProgramResult result = run_program(words, mesh.size() == 1 ? "" : on_ranks(mesh.size()));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_file(run + "/predictions/step-00000000/boolq.jsonl") +
           read_file(run + "/predictions/step-00000004/boolq.jsonl");
  };
  const std::string expected = answers({1, 1, 1});
  for (const MeshShape& mesh : {MeshShape{2, 1, 1}, {1, 2, 2}}) EXPECT_EQ(answers(mesh), expected);
}

TEST_F(TrainRanks, ARunGoesOnWithAnyOtherMesh) {
  const std::string one = folder_ / "one", parts = folder_ / "parts";
  const std::vector<MeshShape> meshes = {{2, 1, 1}, {1, 4, 1}, {1, 1, 1}, {1, 2, 2},
                                         {4, 1, 1}, {1, 1, 2}, {2, 2, 1}};
  int64_t steps = 0;
  for (const MeshShape& mesh : meshes) {
    SCOPED_TRACE(mesh.text());
    steps += 3;
    const std::string shared = steps % 2 == 0 ? "true" : "false";
    const ProgramResult part =
        train_on(mesh, parts, {format("train.steps={}", steps), "mesh.share_optimizer=" + shared});
    ASSERT_EQ(part.exit_code, 0) << part.err;
  }
  ASSERT_EQ(train_on({}, one, {format("train.steps={}", steps)}).exit_code, 0);
  const std::string checkpoint = format("/checkpoints/step-{:08}", steps);
  EXPECT_LT(largest_difference(one + checkpoint, parts + checkpoint, kWeightsStem), kTolerance);
  EXPECT_EQ(metrics(parts, "train").size(), metrics(one, "train").size());
}

// A checkpoint of many ranks is one like any other: read on one rank, it is written as it was.
TEST_F(TrainRanks, ACheckpointOfManyRanksIsExact) {
  const std::string many = folder_ / "many";
  ASSERT_EQ(train_on({1, 2, 2}, many, {"train.steps=6", "train.keep_checkpoints=0"}).exit_code, 0);
  const std::string sound = many + "/checkpoints/step-00000006";
  EXPECT_TRUE(fs::exists(sound + "/model-00001-of-00002.safetensors"));
  const ProgramResult inspected = run_program({"inspect", sound});
  EXPECT_EQ(inspected.exit_code, 0) << inspected.err;
  const auto trained = [&](const MeshShape& mesh) {
    const std::string copy = folder_ / ("copy of " + mesh.text());
    fs::copy(many, copy, fs::copy_options::recursive);
    EXPECT_EQ(train_on(mesh, copy, {"train.steps=7"}).exit_code, 0);
    return copy + "/checkpoints/step-00000007";
  };
  EXPECT_LT(largest_difference(trained({1, 1, 1}), trained({1, 2, 2}), kWeightsStem), 1e-6);
}

TEST_F(TrainRanks, RefusesAMeshThatDoesNotFit) {
  const auto refused = [&](int64_t started, const std::vector<std::string>& settings,
                           const std::string& message) {
    const ProgramResult result =
        run_program(command(folder_ / "refused", settings), on_ranks(started));
    EXPECT_NE(result.exit_code, 0) << message;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_FALSE(fs::exists(folder_ / "refused"));
  };
  refused(2, {"mesh.data=4"},
          "a mesh of 4 x 1 x 1 (data x expert x model) has 4 ranks, but 2 were");
  refused(3, {"mesh.data=3"}, "do not divide train.batch_sequences = 8");
  refused(4, {"mesh.data=4", "model.moe.group_sequences=4"},
          "model.moe.group_sequences = 4 does not divide the 2 sequences of each of 4 ranks");
  refused(2, {"mesh.expert=2", "model.moe.num_experts=0"}, "but the model has no experts");
  refused(1, {"mesh.expert=3"}, "mesh.expert = 3 ranks do not divide model.moe.num_experts = 4");
  refused(1, {"mesh.model=8"}, "mesh.model = 8 ranks do not divide model.num_heads = 4");
}

// One rank reads another recipe: all say so instead of waiting for each other.
TEST_F(TrainRanks, ARankWithAnotherRecipeEndsAll) {
  const std::string differ =
      "if [ \"$OMPI_COMM_WORLD_RANK\" = 2 ]; then exec \"$@\" --set optimizer.learning_rate=0.5; "
      "fi; exec \"$@\"";
  const ProgramResult result =
      run_program(command(folder_ / "run", {"mesh.data=4"}),
                  format("set -- mpirun --allow-run-as-root --oversubscribe --bind-to none -np 4 "
                         "sh -c '{}' sh \"$@\"",
                         differ));
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("not all ranks have the same recipe, data and weights"));
}

TEST_F(TrainRanks, ASignalToOneRankSavesAndEndsAll) {
  const std::string run = folder_ / "run";
  Program program(command(run, {"mesh.data=2", "train.steps=100000", "train.checkpoint_every=0"}),
                  on_ranks(2));
  ASSERT_TRUE(wait_for(run + "/metrics.jsonl"));
  const std::vector<pid_t> ranks = children_of(program.pid());
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(ranks.back(), SIGTERM);
  const ProgramResult result = program.wait();
  EXPECT_EQ(result.exit_code, 128 + SIGTERM) << result.err;
  const json summary = json::parse(result.out);
  EXPECT_EQ(summary["finished"], false);
  EXPECT_TRUE(fs::exists(summary["checkpoint"].get<std::string>()));
}

TEST_F(TrainRanks, AKilledRankEndsAllAndTheRunGoesOn) {
  const std::string run = folder_ / "run", whole = folder_ / "whole";
  {
    Program program(command(run, {"mesh.data=2", "train.steps=100000"}), on_ranks(2));
    ASSERT_TRUE(wait_for(run + "/checkpoints/step-00000010"));
    const std::vector<pid_t> ranks = children_of(program.pid());
    ASSERT_EQ(ranks.size(), 2U);
    ::kill(ranks.back(), SIGKILL);
    const Clock::time_point start = Clock::now();
    const ProgramResult result = program.wait();
    EXPECT_NE(result.exit_code, 0);
    EXPECT_LT(seconds_since(start), 30);
    EXPECT_THAT(result.err, HasSubstr("rank 1"));
  }
  int last = 0;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints")) {
    const std::string name = entry.path().filename();
    if (name.starts_with("step-") && name.size() == 13) {
      last = std::max(last, std::stoi(name.substr(5)));
    }
  }
  const std::vector<std::string> steps = {format("train.steps={}", last + 6)};
  ASSERT_EQ(train_on({2, 1, 1}, run, steps).exit_code, 0);
  ASSERT_EQ(train_on({2, 1, 1}, whole, steps).exit_code, 0);
  const std::string checkpoint = format("/checkpoints/step-{:08}", last + 6);
  EXPECT_EQ(largest_difference(run + checkpoint, whole + checkpoint, kWeightsStem), 0);
}

}  // namespace
}  // namespace switchyard::testing
