// Whole runs of objectives "seq2seq" and "distill" on a task so small that a test can learn it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "checkpoint/tensor_files.h"
#include "comm/mesh.h"
#include "model/model_directory.h"
#include "ops/ops.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"
#include "text/test_models.h"
#include "train/checkpoint.h"
#include "train/evaluator.h"
#include "train/metrics_log.h"
#include "train/run_directory.h"
#include "train/teacher.h"
#include "train/trainer.h"
#include "train/training_data.h"

namespace switchyard {
namespace {

using nlohmann::json;
using testing::error_of;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* kTask = R"(
[fields]
word = "word"
kind = "kind | label"
[labels]
0 = "bata"
1 = "kolu"
[text]
input = "{word}"
target = "{kind}"
[metrics]
accuracy = true
[lengths]
input = 12
target = 6
)";

class FinetuningTest : public ::testing::Test {
 protected:
  FinetuningTest() {
    folder_.put("spiece.model", testing::small_model());
    folder_.put("kinds.toml", kTask);
    folder_.put("train.jsonl", lines(64));
    folder_.put("val.jsonl", lines(16));
    ModelConfig model;
    model.d_model = 24;
    model.d_ff = 48;
    model.d_kv = 8;
    model.num_heads = 2;
    model.num_encoder_layers = model.num_decoder_layers = 2;
    model.vocab_size = 400;
    model.init_scale = 1.0;
    model.moe.num_experts = 4;
    save(model, "start");
    settings_ = {"objective.kind=seq2seq",
                 "train.start_from=" + (folder_ / "start"),
                 "tasks.kinds.task=" + (folder_ / "kinds.toml"),
                 "tasks.kinds.train=" + (folder_ / "train.jsonl"),
                 "tasks.kinds.validation=" + (folder_ / "val.jsonl"),
                 "data.input_length=32",
                 "model.dropout=0.1",
                 "model.moe.expert_dropout=0.4",
                 "optimizer.learning_rate=0.01",
                 "train.steps=12",
                 "train.batch_sequences=4",
                 "train.evaluate_every=4",
                 "train.checkpoint_every=4",
                 "train.keep_checkpoints=0",
                 "train.log_every=2",
                 "train.precision=fp32",
                 "train.tensorboard=false"};
  }

  /// The word says which kind it is.
  static std::string lines(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text +=
          format("{{\"word\": \"{} {}\", \"kind\": \"{}\"}}\n", i % 2 ? "mino" : "sera", i, i % 2);
    }
    return text;
  }

  void save(const ModelConfig& config, const std::string& name) {
    EncoderDecoder model(config, Precision::kFloat32);
    model.parameters().initialize(5);
    fs::create_directories(folder_ / name);
    save_model(folder_ / name, model, {.tokenizer = folder_ / "spiece.model"});
  }

  Recipe recipe(const std::vector<std::string>& more = {}, const std::string& run = {}) const {
    std::vector<std::string> all = settings_;
    all.insert(all.end(), more.begin(), more.end());
    return load_recipe("", all, run);
  }
  TrainSummary run(const std::string& name, const std::vector<std::string>& more = {}) {
    return train(recipe(more, folder_ / name),
                 {.run_directory = folder_ / name, .threads = 2, .version = "test"});
  }

  std::vector<json> evaluations(const std::string& run) const {
    std::vector<json> found;
    for (json line : read_metrics(folder_ / run + "/metrics.jsonl").lines) {
      if (line["kind"] != "eval") continue;
      line.erase("seconds");
      found.push_back(line);
    }
    return found;
  }
  /// Of the weights in a checkpoint, by parameter.
  std::map<std::string, at::Tensor> weights(const std::string& directory) const {
    const auto model = load_model(directory, Precision::kFloat32);
    std::map<std::string, at::Tensor> values;
    for (const Parameter& p : model->parameters().all()) {
      values[p.name()] = p.value().detach().clone();
    }
    return values;
  }

  testing::TemporaryFolder folder_;
  std::vector<std::string> settings_;
};

TEST_F(FinetuningTest, LearnsATaskAndWritesItsAnswers) {
  for (const char* pack : {"true", "false"}) {
    const std::string name = format("run-{}", pack);
    run(name, {format("data.pack={}", pack), "train.steps=150", "train.evaluate_every=75",
               "train.checkpoint_every=0"});
    const std::vector<json> found = evaluations(name);
    ASSERT_EQ(found.size(), 2);
    EXPECT_EQ(found.back()["tasks"]["kinds"]["accuracy"], 100.0);
    EXPECT_GT(found.back()["tasks"]["kinds"]["nlp"], -0.1);
    EXPECT_EQ(found.back()["quality"], 100.0);
    const std::string answers =
        read_file(folder_ / name + "/predictions/step-00000150/kinds.jsonl");
    const json first = json::parse(answers.substr(0, answers.find('\n')));
    EXPECT_EQ(first, json::parse(R"({"input": "sera 0", "target": "bata", "references": ["bata"],
                                     "output": "bata"})"));
  }
}

TEST_F(FinetuningTest, GoesOnToTheSameBitsEvaluationIncluded) {
  const std::vector<std::string> best = {"train.keep_best=1", "train.keep_checkpoints=1"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), best.begin(), best.end());
    return more;
  };
  run("whole", with({}));
  run("parts", with({"train.steps=5"}));
  run("parts", with({}));
  EXPECT_EQ(evaluations("whole").size(), 3);
  EXPECT_EQ(list_checkpoints(folder_ / "whole"), list_checkpoints(folder_ / "parts"));
  std::vector<json> parts = evaluations("parts");
  std::erase_if(parts, [](const json& line) { return line["step"] == 5; });  // the stop's own
  EXPECT_EQ(parts, evaluations("whole"));
  const auto a = weights(checkpoint_path(folder_ / "whole", 12));
  const auto b = weights(checkpoint_path(folder_ / "parts", 12));
  for (const auto& [name, value] : a) EXPECT_TRUE(at::equal(value, b.at(name))) << name;
  EXPECT_EQ(read_position(checkpoint_path(folder_ / "whole", 12)).quality,
            read_position(checkpoint_path(folder_ / "parts", 12)).quality);
}

// What a run begins with is the first evaluation, once, however often the start is tried.
TEST_F(FinetuningTest, EvaluatesTheStartOnce) {
  settings_.push_back("train.evaluate_start=true");
  const auto stop = [](int64_t step, EncoderDecoder&) {
    if (step == 2) throw runtime_failure("stopped", "here", "by the test");
  };
  error_of([&] {
    train(recipe({}, folder_ / "run"),
          {.run_directory = folder_ / "run", .threads = 2, .version = "test", .before_step = stop});
  });
  ASSERT_EQ(evaluations("run").size(), 1);
  run("run");
  const std::vector<json> found = evaluations("run");
  ASSERT_EQ(found.size(), 4);  // steps 0, 4, 8, 12
  EXPECT_EQ(found[0]["step"], 0);
  const auto model = load_model(folder_ / "start", Precision::kFloat32);
  const Recipe same = recipe();
  TrainingData data = open_training_data(same, folder_ / "run");
  const Mesh one;
  const RunEvaluation expected =
      Evaluator(same, data, one).evaluate(*model, true, [](const std::string&) {});
  EXPECT_NEAR(found[0]["nlp"].get<double>(), expected.all.nlp(), 1e-6);
  EXPECT_TRUE(fs::exists(folder_ / "run/predictions/step-00000000/kinds.jsonl"));
}

TEST_F(FinetuningTest, OtherExamplesUnderTheSameNameAreRefused) {
  run("run", {"train.steps=4"});
  folder_.put("train.jsonl", lines(66));
  EXPECT_THAT(error_of([&] { run("run"); }).what(),
              HasSubstr("the training data is not what this run was trained on"));
}

TEST_F(FinetuningTest, FrozenParametersDoNotChangeByABit) {
  const auto before = weights(folder_ / "start");
  const auto is_expert = [](const std::string& name) {
    return name.find(".experts.") != name.npos;
  };
  const std::map<std::string, std::function<bool(const std::string&)>> cases = {
      {"experts", is_expert},
      {"all_but_experts", [&](const std::string& name) { return !is_expert(name); }},
      {"router, encoder.*",
       [](const std::string& name) {
         return name.find(".router.") != name.npos || name.starts_with("encoder.");
       }},
      {"embeddings", [](const std::string& name) { return name == "shared.weight"; }}};
  int number = 0;
  for (const auto& [freeze, frozen] : cases) {
    const std::string name = format("run-{}", ++number);
    run(name, {"train.freeze=" + freeze, "train.steps=4",
               number % 2 ? "optimizer.kind=adamw" : "optimizer.kind=adafactor",
               "optimizer.weight_decay=0.1"});
    const auto after = weights(checkpoint_path(folder_ / name, 4));
    for (const auto& [parameter, value] : before) {
      EXPECT_EQ(at::equal(value, after.at(parameter)), frozen(parameter))
          << freeze << ": " << parameter;
    }
  }
  EXPECT_THAT(error_of([&] { run("none", {"train.freeze=encoders.*"}); }).what(),
              HasSubstr("'encoders.*' meets no parameter"));
  EXPECT_THAT(error_of([&] { run("all", {"train.freeze=*"}); }).what(),
              HasSubstr("every parameter is frozen"));
}

TEST_F(FinetuningTest, FrozenParametersHaveNoOptimizerState) {
  for (const char* kind : {"adamw", "adafactor"}) {
    const std::string name = format("run-{}", kind);
    run(name, {"train.freeze=experts", format("optimizer.kind={}", kind), "train.steps=4"});
    const TensorFiles state(checkpoint_path(folder_ / name, 4) + "/training_state", "optimizer");
    EXPECT_FALSE(state.tensors().empty());
    for (const auto& [tensor, stored] : state.tensors()) {
      EXPECT_EQ(tensor.find(".experts."), std::string::npos) << tensor;
    }
    run(name, {"train.freeze=experts", format("optimizer.kind={}", kind), "train.steps=8"});
  }
}

// Correlations with answers that are all alike are not defined.
TEST_F(FinetuningTest, AQualityThatIsNotDefinedDoesNoHarm) {
  std::string numbers = kTask;
  numbers.replace(numbers.find("accuracy"), 8, "pearson");
  folder_.put("numbers.toml", numbers);
  const std::vector<std::string> undefined = {"tasks.kinds.task=" + (folder_ / "numbers.toml"),
                                              "train.best_metric=kinds/pearson_corrcoef",
                                              "train.keep_best=1", "train.keep_checkpoints=1"};
  const auto with = [&](const std::string& more) {
    std::vector<std::string> all = undefined;
    all.push_back(more);
    return all;
  };
  run("run", with("train.steps=4"));
  EXPECT_FALSE(read_position(checkpoint_path(folder_ / "run", 4)).quality);
  EXPECT_TRUE(evaluations("run").back()["quality"].is_null());
  run("run", with("train.steps=8"));
  EXPECT_EQ(evaluations("run").back()["step"], 8);
}

TEST_F(FinetuningTest, GoesOnWithoutWhatItBeganWith) {
  run("run", {"train.steps=4"});
  fs::remove_all(folder_ / "start");
  run("run", {"train.steps=8"});
  EXPECT_EQ(evaluations("run").back()["step"], 8);
  EXPECT_TRUE(fs::exists(checkpoint_path(folder_ / "run", 8) + "/spiece.model"));
}

TEST_F(FinetuningTest, AnswersBeyondTheCheckpointAreRemoved) {
  run("run", {"train.steps=4"});
  folder_.put("run/predictions/step-00000099/kinds.jsonl", "{}\n");
  run("run", {"train.steps=8"});
  EXPECT_FALSE(fs::exists(folder_ / "run/predictions/step-00000099"));
  EXPECT_TRUE(fs::exists(folder_ / "run/predictions/step-00000004/kinds.jsonl"));
}

TEST_F(FinetuningTest, OnlyQualitiesOfOneMetricAreCompared) {
  const std::vector<std::string> best = {"train.keep_best=1", "train.keep_checkpoints=1"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), best.begin(), best.end());
    return more;
  };
  run("run", with({"train.steps=8"}));          // accuracy: 0 to 100
  run("run", with({"train.best_metric=nlp"}));  // below 0
  const std::vector<int64_t> left = list_checkpoints(folder_ / "run");
  EXPECT_EQ(left, std::vector<int64_t>{12}) << "the newest is the best by what counts now";
}

TEST_F(FinetuningTest, TasksThatAreOnlyEvaluatedMayComeAndChange) {
  run("run", {"train.steps=4"});
  folder_.put("more.toml", std::string(kTask).replace(std::string(kTask).find("= 6"), 3, "= 9"));
  run("run", {"train.steps=8", "tasks.more.task=" + (folder_ / "more.toml"),
              "tasks.more.validation=" + (folder_ / "val.jsonl"), "tasks.none.weight=2"});
  EXPECT_TRUE(evaluations("run").back()["tasks"].contains("more"));
  EXPECT_THAT(error_of([&] {
                load_recipe("", {"objective.kind=seq2seq", "tasks.boolq.validation=x"});
              }).what(),
              HasSubstr("without a task to train on"));
  Recipe nothing;
  nothing.tasks["boolq"].validation = "x";
  EXPECT_THAT(error_of([&] { open_training_data(nothing); }).what(), HasSubstr("no training data"));
}

TEST_F(FinetuningTest, RecipesTakeTheirModelFromWhereTheyStart) {
  const Recipe ours = recipe();
  EXPECT_EQ(ours.model.d_model, 24);
  EXPECT_EQ(ours.model.moe.num_experts, 4);
  EXPECT_EQ(ours.model.dropout, 0.1);
  EXPECT_EQ(ours.optimizer.schedule, "constant");
  EXPECT_EQ(
      load_recipe("", {"objective.kind=seq2seq", "tasks.boolq.train=x"}).optimizer.learning_rate,
      0.001);
  EXPECT_THAT(error_of([&] { recipe({"model.d_ff=64"}); }).what(),
              HasSubstr("model.d_ff = 64, but train.start_from has 48"));
  EXPECT_THAT(error_of([&] { recipe({"tasks.kinds.trian=x"}); }).what(),
              HasSubstr("did you mean 'tasks.kinds.train'"));
  EXPECT_THAT(error_of([] { load_recipe("", {"objective.kind=seq2seq"}); }).what(),
              HasSubstr("without a task to train on"));
  EXPECT_THAT(error_of([] { load_recipe("", {"objective.kind=distill"}); }).what(),
              HasSubstr("without objective.teacher"));
  EXPECT_THAT(error_of([&] { run("x", {"train.best_metric=kinds/accuracies"}); }).what(),
              HasSubstr("kinds has accuracy"));
  EXPECT_THAT(error_of([&] { run("y", {"train.best_metric=kind/accuracy"}); }).what(),
              HasSubstr("there is nlp, kinds/NUMBER"));
  EXPECT_THAT(
      error_of([&] { run("z", {"tasks.kinds.train=" + (folder_ / "spiece.model")}); }).what(),
      HasSubstr("spiece.model:2, byte 1"));
}

TEST_F(FinetuningTest, AStudentTakesWhatTheRecipeSays) {
  const std::string routed = "encoder.block.1.layer.1.mlp.experts.wi.weight";
  const std::string dense = "encoder.block.1.layer.1.mlp.wi.weight";
  const auto teacher = weights(folder_ / "start");
  ModelConfig config = read_model_description(folder_ / "start").config;
  config.moe.num_experts = 0;
  const Batch sample = make_batch(at::arange(2, 34).view({4, 8}), at::arange(2, 18).view({4, 4}));
  for (const std::string how : {"fresh", "average", "most_used"}) {
    Teacher model(folder_ / "start", Precision::kFloat32, config);
    EncoderDecoder student(config, Precision::kFloat32);
    student.parameters().initialize(9);
    const at::Tensor before = student.parameters().find(dense)->value().detach().clone();
    model.start_student(how, sample, student);
    const at::Tensor after = student.parameters().find(dense)->value().detach();
    const at::Tensor stack = teacher.at(routed);
    EXPECT_EQ(at::equal(after, before), how == "fresh");
    EXPECT_EQ(at::allclose(after, stack.mean(0)), how == "average");
    if (how == "most_used") {
      int64_t found = 0;
      for (int64_t e = 0; e < 4; ++e) found += at::equal(after, stack[e]);
      EXPECT_EQ(found, 1);
    }
    for (const auto& [name, value] : teacher) {
      const Parameter* own = student.parameters().find(name);
      EXPECT_TRUE(!own || at::equal(own->value().detach(), value)) << name;
    }
  }
}

// With the teacher's own weights and probabilities alone there is nothing to learn: no gradient.
TEST_F(FinetuningTest, AStudentThatIsTheTeacherHasNoGradient) {
  Recipe taught = recipe();
  taught.objective.kind = "distill";
  taught.objective.soft_weight = 1.0;
  taught.model.dropout = 0;
  taught.model.moe.expert_dropout = taught.model.moe.jitter = taught.model.moe.balance_loss = 0;
  taught.model.moe.capacity = "dropless";
  save(taught.model, "teacher");
  EncoderDecoder student(taught.model, Precision::kFloat32);
  load_weights(folder_ / "teacher", student);
  Teacher teacher(folder_ / "teacher", Precision::kFloat32, taught.model);
  const Batch batch = make_batch(at::arange(2, 34).view({4, 8}), at::arange(2, 18).view({4, 4}));
  const StepResult same = compute_gradients(student, batch, taught, 1, &teacher);
  EXPECT_LT(same.gradient_norm, 1e-4);
  EXPECT_GT(same.soft.mean(), 1.0) << "the teacher's entropy";
  EXPECT_NEAR(same.loss, same.soft.mean(), 1e-5);
  taught.objective.soft_weight = 0.25;
  const StepResult mixed = compute_gradients(student, batch, taught, 1, &teacher);
  EXPECT_GT(mixed.gradient_norm, 0.1);
  EXPECT_NEAR(mixed.loss, 0.75 * mixed.cross_entropy.mean() + 0.25 * mixed.soft.mean(), 1e-4);
}

TEST_F(FinetuningTest, DistilsOnTasksAndGoesOnToTheSameBits) {
  run("teacher", {"train.steps=60", "train.checkpoint_every=0"});
  settings_[0] = "objective.kind=distill";
  settings_[1] = "objective.teacher=" + (folder_ / "teacher");
  const std::vector<std::string> student = {"objective.student_start=fresh",
                                            "optimizer.schedule=constant"};
  const auto with = [&](const std::string& more) {
    std::vector<std::string> all = student;
    all.push_back(more);
    return all;
  };
  const Recipe as_read = recipe(student);
  EXPECT_EQ(as_read.model.moe.num_experts, 0);
  EXPECT_EQ(as_read.model.d_model, 24);
  run("whole", with("train.steps=8"));
  run("parts", with("train.steps=3"));
  run("parts", with("train.steps=8"));
  const auto a = weights(checkpoint_path(folder_ / "whole", 8));
  const auto b = weights(checkpoint_path(folder_ / "parts", 8));
  for (const auto& [name, value] : a) EXPECT_TRUE(at::equal(value, b.at(name))) << name;
  // A teacher that was trained further is another one.
  settings_[0] = "objective.kind=seq2seq";
  settings_[1] = "train.start_from=" + (folder_ / "start");
  run("teacher", {"train.steps=64", "train.checkpoint_every=0"});
  settings_[0] = "objective.kind=distill";
  settings_[1] = "objective.teacher=" + (folder_ / "teacher");
  EXPECT_THAT(error_of([&] { run("parts", with("train.steps=9")); }).what(),
              HasSubstr("the teacher's weights are not those"));
  settings_[1] = "objective.teacher=" + checkpoint_path(folder_ / "teacher", 60);
  run("parts", with("train.steps=9"));
  bool told = false;
  for (const json& line : read_metrics(folder_ / "whole/metrics.jsonl").lines) {
    told |= line["kind"] == "train" && line.contains("soft_loss");
  }
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace switchyard
