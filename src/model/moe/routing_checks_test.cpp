#include "model/moe/routing_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace switchyard {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// The error of a model with these settings, as `--set` gives them.
std::string failure(const std::vector<std::string>& settings) {
  ModelConfig config;
  FieldList fields;
  fields.section("model", config);
  try {
    for (const std::string& setting : settings) fields.set("model." + setting);
    config.validate("recipe.toml");
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "no error";
}

TEST(RoutingChecks, UnknownNamesListTheKnownOnes) {
  EXPECT_THAT(failure({"moe.router=top3"}),
              AllOf(HasSubstr("moe.router"), HasSubstr("top2, ntlb")));
  EXPECT_THAT(failure({"moe.profile=hugging"}), HasSubstr("paper, mesh, t5x, hf"));
  EXPECT_THAT(failure({"moe.capacity=none"}), HasSubstr("dropless"));
  EXPECT_THAT(failure({"moe.exploration=noise"}), HasSubstr("input_dropout"));
  EXPECT_THAT(failure({"moe.second_choise=all"}),
              HasSubstr("did you mean 'model.moe.second_choice'"));
}

TEST(RoutingChecks, ExpertChoiceAndPriorityNeedAnEncoder) {
  EXPECT_THAT(failure({"moe.router=expert_choice"}),
              AllOf(HasSubstr("expert_choice"), HasSubstr("decoder"), HasSubstr("recipe.toml"),
                    HasSubstr("decoder_layers = \"none\"")));
  EXPECT_EQ(failure({"moe.router=expert_choice", "moe.decoder_layers=none"}), "no error");
  EXPECT_THAT(failure({"moe.batch_prioritized=true"}), HasSubstr("decoder"));
  EXPECT_EQ(failure({"moe.batch_prioritized=true", "moe.decoder_layers=none"}), "no error");
}

TEST(RoutingChecks, OptionsThatDoNotApplyAreRefused) {
  const std::string encoder = "moe.decoder_layers=none";
  EXPECT_THAT(failure({encoder, "moe.router=hash", "moe.batch_prioritized=true"}),
              HasSubstr("does not apply"));
  EXPECT_THAT(failure({encoder, "moe.router=switch_max", "moe.batch_prioritized=true"}),
              HasSubstr("does not apply"));
  EXPECT_THAT(failure({"moe.router=top2", "moe.exploration=sample"}), HasSubstr("switch_max"));
  EXPECT_THAT(failure({"moe.router=hash", "moe.exploration=input_dropout"}),
              HasSubstr("does not apply"));
  EXPECT_THAT(failure({"moe.router=hash", "moe.z_loss=0.001"}), HasSubstr("z_loss"));
  EXPECT_THAT(failure({encoder, "moe.router=expert_choice", "moe.capacity=dropless"}),
              HasSubstr("dropless"));
  EXPECT_THAT(failure({"moe.profile=hf", "moe.router=top2"}), HasSubstr("hf"));
  EXPECT_THAT(failure({"moe.router=top2", "moe.num_experts=1"}), HasSubstr("two experts"));
}

TEST(RoutingChecks, EveryRouterIsAllowedWithItsDefaults) {
  for (const char* router : {"switch", "top2", "ntlb", "switch_max", "hash"}) {
    EXPECT_EQ(failure({std::string("moe.router=") + router}), "no error");
  }
  for (const char* profile : {"paper", "mesh", "t5x", "hf"}) {
    EXPECT_EQ(failure({std::string("moe.profile=") + profile}), "no error");
  }
  // Nothing to check in a dense model.
  EXPECT_EQ(failure({"moe.num_experts=0", "moe.router=expert_choice"}), "no error");
}

}  // namespace
}  // namespace switchyard
