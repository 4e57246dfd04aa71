#include "train/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"

namespace switchyard {
namespace {

using testing::HasSubstr;

class RecipeFile : public testing::Test {
 protected:
  RecipeFile() : path_(testing::TempDir() + format("recipe-{}.toml", ::getpid())) {}
  ~RecipeFile() override { std::filesystem::remove(path_); }

  Recipe load(const std::string& text, const std::vector<std::string>& overrides = {}) {
    write_file(path_, text);
    return load_recipe(path_, overrides);
  }
  std::string failure(const std::string& text, const std::vector<std::string>& overrides = {}) {
    try {
      load(text, overrides);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return error.what();
    }
    return "no error";
  }
  std::string path_;
};

TEST_F(RecipeFile, ReadsSectionsAndOverrides) {
  const Recipe recipe =
      load(R"(
[model]
d_model = 128
[model.moe]
num_experts = 32
[data]
train = "a/train"
input_length = 128
[optimizer]
kind = "adamw"
learning_rate = 3e-3
[train]
steps = 100
)",
           {"train.steps=200", "optimizer.schedule=cosine", "model.moe.jitter=0"});
  EXPECT_EQ(recipe.model.d_model, 128);
  EXPECT_EQ(recipe.model.moe.num_experts, 32);
  EXPECT_EQ(recipe.data.train.at(0).first, "a/train");
  EXPECT_EQ(recipe.optimizer.kind, "adamw");
  EXPECT_DOUBLE_EQ(recipe.optimizer.learning_rate, 3e-3);
  EXPECT_EQ(recipe.train.steps, 200);
  EXPECT_EQ(recipe.optimizer.schedule, "cosine");
  EXPECT_DOUBLE_EQ(recipe.model.moe.jitter, 0.0);
}

TEST_F(RecipeFile, WrittenRecipeReadsBackTheSame) {
  const Recipe recipe = load("[train]\nmax_minutes = 0.1\n[data.train]\na = 1\nb = 2.5\n");
  const Recipe again = load(recipe.to_toml(true));
  EXPECT_EQ(again.to_toml(), recipe.to_toml());
  EXPECT_EQ(again.data.train.size(), 2u);
}

TEST_F(RecipeFile, MistakesAreNamed) {
  EXPECT_THAT(failure("[train]\nstep = 5\n"),
              testing::AllOf(HasSubstr("unknown key 'train.step'"), HasSubstr(":2"),
                             HasSubstr("did you mean 'train.steps'")));
  EXPECT_THAT(failure("[train]\nsteps = \"many\"\n"),
              testing::AllOf(HasSubstr("train.steps has the wrong type"), HasSubstr("an integer")));
  EXPECT_THAT(failure("[train]\nsteps = 0\n"), HasSubstr("out of range"));
  EXPECT_THAT(failure("[optimizer]\nkind = \"sgd\"\n"), HasSubstr("adafactor, adamw"));
  EXPECT_THAT(failure("", {"model.moe.num_expert=4"}), HasSubstr("model.moe.num_experts"));
  EXPECT_THAT(failure("[train\n"), HasSubstr(":1"));
}

TEST_F(RecipeFile, SizesMustDivide) {
  EXPECT_THAT(failure("[train]\nbatch_sequences = 64\nmicro_batch_sequences = 24\n"),
              HasSubstr("does not divide"));
  EXPECT_THAT(failure("[train]\nbatch_sequences = 64\nmicro_batch_sequences = 8\n"),
              HasSubstr("model.moe.group_sequences = 16"));
  // A batch smaller than a group is one group; a dense model has none.
  EXPECT_EQ(load("[train]\nbatch_sequences = 8\n").train.micro_batch(), 8);
  EXPECT_EQ(load("[train]\nmicro_batch_sequences = 8\n[model.moe]\nnum_experts = 0\n")
                .train.micro_batch(),
            8);
}

TEST_F(RecipeFile, MeshesThatCannotShareTheModelOutAreRefused) {
  EXPECT_THAT(failure("[model.moe]\nnum_experts = 0\n[mesh]\nexpert = 2\n"),
              HasSubstr("mesh.expert = 2, but the model has no experts"));
  EXPECT_THAT(failure("[model.moe]\nnum_experts = 6\n[mesh]\nexpert = 4\n"),
              HasSubstr("mesh.expert = 4 ranks do not divide model.moe.num_experts = 6"));
  EXPECT_THAT(failure("[model]\nnum_heads = 6\n[mesh]\nmodel = 4\n"),
              HasSubstr("mesh.model = 4 ranks do not divide model.num_heads = 6"));
  EXPECT_THAT(failure("[model]\nnum_heads = 4\nd_ff = 24\n[mesh]\nmodel = 4\n"),
              HasSubstr("must be a multiple of 4"));
  EXPECT_THAT(failure("[model]\nnum_heads = 4\n[model.moe]\nnum_experts = 4\n"
                      "attention_experts = \"linear\"\n[mesh]\nmodel = 2\n"),
              HasSubstr("mesh.model does not split experts in attention"));
}

TEST_F(RecipeFile, WarnsOfAttentionExpertsInBfloat16) {
  const auto warning = [&](const std::string& attention, const std::string& precision) {
    testing::internal::CaptureStderr();
    load("", {"model.moe.attention_experts=" + attention, "train.precision=" + precision});
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_THAT(warning("linear", "bf16-selective"), HasSubstr("train.precision"));
  EXPECT_EQ(warning("linear", "fp32"), "");
  EXPECT_EQ(warning("none", "bf16-selective"), "");
}

}  // namespace
}  // namespace switchyard
