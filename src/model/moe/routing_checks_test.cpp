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

TEST(RoutingChecks, AttentionExperts) {
  const std::string on = "moe.attention_experts=feed_forward";
  EXPECT_EQ(failure({on}), "no error");
  EXPECT_EQ(failure({on, "moe.encoder_layers=none", "moe.decoder_layers=none"}), "no error");
  EXPECT_EQ(failure({on, "moe.num_experts=0"}), "no error");
  EXPECT_THAT(failure({"moe.attention_experts=mlp"}), HasSubstr("none, feed_forward, linear"));
  EXPECT_THAT(failure({"moe.attention_expert=linear"}),
              HasSubstr("did you mean 'model.moe.attention_experts'"));
  EXPECT_THAT(failure({on, "moe.attention_encoder_layers=9"}),
              AllOf(HasSubstr("'9' is no block"), HasSubstr("attention_encoder_layers")));
  EXPECT_THAT(
      failure({on, "moe.attention_encoder_layers=none", "moe.attention_decoder_layers=none"}),
      HasSubstr("no block's attention has experts"));
  EXPECT_THAT(failure({on, "moe.profile=hf"}), HasSubstr("no experts in attention"));
  // A router that looks ahead is as wrong in a decoder's attention as in its feed-forward.
  const std::vector<std::string> ahead = {on, "moe.router=expert_choice",
                                          "moe.decoder_layers=none"};
  EXPECT_THAT(failure(ahead), AllOf(HasSubstr("decoder"), HasSubstr("attention_decoder_layers")));
  EXPECT_EQ(failure({ahead[0], ahead[1], ahead[2], "moe.attention_decoder_layers=none"}),
            "no error");
}

TEST(RoutingChecks, SettingsThatNothingReadsAreWarnedOf) {
  const auto warnings = [](const std::vector<std::string>& settings) {
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(failure(settings), "no error");
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(warnings({}), "");
  EXPECT_EQ(warnings({"moe.router=top2", "moe.second_choice=all"}), "");
  EXPECT_THAT(warnings({"moe.second_choice=all"}), HasSubstr("second_choice has no effect"));
  EXPECT_THAT(warnings({"moe.router=top2", "moe.second_choice=all", "moe.second_threshold=0.3"}),
              HasSubstr("second_threshold has no effect"));
  EXPECT_THAT(warnings({"moe.ntlb_top_k=2"}), HasSubstr("ntlb_top_k has no effect"));
  EXPECT_THAT(warnings({"moe.exploration=argmax", "moe.jitter=0.1"}),
              HasSubstr("jitter has no effect"));
  EXPECT_THAT(warnings({"moe.profile=hf", "moe.capacity_factor_train=2"}),
              HasSubstr("capacity_factor_train has no effect"));
  EXPECT_THAT(warnings({"moe.expert_capacity=8"}), HasSubstr("expert_capacity has no effect"));
  EXPECT_EQ(warnings({"moe.profile=hf", "moe.expert_capacity=8"}), "");
  EXPECT_THAT(warnings({"moe.attention_decoder_layers=1"}),
              HasSubstr("attention_decoder_layers has no effect"));
  EXPECT_THAT(warnings({"moe.attention_experts=linear", "moe.attention_d_ff=8"}),
              HasSubstr("attention_d_ff has no effect"));
  EXPECT_EQ(warnings({"moe.attention_experts=feed_forward", "moe.attention_d_ff=8",
                      "moe.attention_decoder_layers=1"}),
            "");
  EXPECT_THAT(warnings({"moe.router=switch_max"}), HasSubstr("in a decoder"));
}

TEST(RoutingChecks, CapacitiesHaveRanges) {
  EXPECT_THAT(failure({"moe.capacity_factor_train=0"}), HasSubstr("out of range"));
  EXPECT_THAT(failure({"moe.capacity_factor_eval=-1"}), HasSubstr("out of range"));
  EXPECT_THAT(failure({"moe.capacity_factor_eval=nan"}), HasSubstr("out of range"));
  EXPECT_THAT(failure({"moe.expert_capacity=0"}), HasSubstr("out of range"));
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
