#include "model/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace switchyard {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const json kSizes = {{"vocab_size", 100}, {"d_model", 16},   {"d_kv", 6},
                     {"d_ff", 20},        {"num_layers", 4}, {"num_heads", 3}};

json config_of_type(const std::string& type, const json& more = json::object()) {
  json object = kSizes;
  object["model_type"] = type;
  object.update(more);
  return object;
}

ModelDescription parse(const json& object) { return parse_model_description(object.dump(), "c"); }

std::vector<bool> layers(const std::string& bits) {
  std::vector<bool> sparse;
  for (const char bit : bits) sparse.push_back(bit == '1');
  return sparse;
}

TEST(HfConfig, DenseModels) {
  const ModelConfig t5 = parse(config_of_type("t5")).config;
  EXPECT_EQ(t5.feed_forward, "relu");
  EXPECT_TRUE(t5.tie_embeddings);  // left out by transformers when true
  EXPECT_EQ(t5.num_decoder_layers, 4);
  EXPECT_EQ(t5.moe.num_experts, 0);
  EXPECT_EQ(t5.dropout, 0.1);
  const ModelConfig v11 = parse(config_of_type("t5", {{"feed_forward_proj", "gated-gelu"},
                                                      {"tie_word_embeddings", false},
                                                      {"num_decoder_layers", 2},
                                                      {"task_specific_params", {{"a", {1, 2}}}},
                                                      {"decoder_start_token_id", nullptr},
                                                      {"unheard_of", true}}))
                              .config;
  EXPECT_EQ(v11.feed_forward, "geglu");
  EXPECT_FALSE(v11.tie_embeddings);
  EXPECT_EQ(v11.num_decoder_layers, 2);
  const ModelConfig mt5 = parse(config_of_type("mt5")).config;
  EXPECT_EQ(mt5.feed_forward, "geglu");
  EXPECT_FALSE(mt5.tie_embeddings);
}

TEST(HfConfig, DtypeIsKept) {
  EXPECT_EQ(parse(config_of_type("t5")).dtype, DType::kF32);
  EXPECT_EQ(parse(config_of_type("t5", {{"torch_dtype", "bfloat16"}})).dtype, DType::kBF16);
  EXPECT_EQ(parse(config_of_type("t5", {{"dtype", "float16"}})).dtype, DType::kF16);
}

TEST(HfConfig, SparsePlacement) {
  struct Case {
    json keys;
    std::string encoder, decoder;
  };
  const std::vector<Case> cases = {
      {{{"num_sparse_encoder_layers", 2}, {"num_sparse_decoder_layers", 2}}, "0101", "0101"},
      {{{"num_sparse_encoder_layers", 4}, {"num_sparse_decoder_layers", 4}}, "1111", "1111"},
      {{{"num_sparse_encoder_layers", 1}, {"num_sparse_decoder_layers", 3}}, "0100", "1111"},
      // None asked for: block 1 is sparse all the same. More than there are: none is.
      {{{"num_sparse_encoder_layers", 0}, {"num_sparse_decoder_layers", 5}}, "0100", "0000"},
      {{{"encoder_sparse_step", 3}, {"decoder_sparse_step", 0}}, "0100", "0000"},
      {{{"encoder_sparse_step", 1}, {"decoder_sparse_step", 2}}, "1111", "0101"},
      {{{"num_layers", 7},
        {"num_sparse_encoder_layers", 2},
        {"num_decoder_layers", 5},
        {"num_sparse_decoder_layers", 2}},
       "0100100",
       "01010"},
  };
  for (const Case& c : cases) {
    const ModelConfig config = parse(config_of_type("switch_transformers", c.keys)).config;
    EXPECT_EQ(config.sparse_encoder_layers(), layers(c.encoder)) << c.keys;
    EXPECT_EQ(config.sparse_decoder_layers(), layers(c.decoder)) << c.keys;
    // And back: what we write says the same to transformers.
    EXPECT_TRUE(fits_hugging_face(config));
    json written = json::parse(model_description_text(config, DType::kF32));
    written.erase("switchyard");
    const ModelConfig again = parse(written).config;
    EXPECT_EQ(again.sparse_encoder_layers(), layers(c.encoder)) << c.keys;
    EXPECT_EQ(again.sparse_decoder_layers(), layers(c.decoder)) << c.keys;
  }
  const ModelConfig none =
      parse(config_of_type("switch_transformers",
                           {{"encoder_sparse_step", 0}, {"decoder_sparse_step", 0}}))
          .config;
  EXPECT_EQ(none.moe.num_experts, 0);
}

TEST(HfConfig, SwitchSettingsOfTheHfProfile) {
  const ModelConfig config =
      parse(config_of_type("switch_transformers", {{"num_experts", 5},
                                                   {"expert_capacity", 3},
                                                   {"router_jitter_noise", 0.02},
                                                   {"router_z_loss_coef", 0.5},
                                                   {"router_aux_loss_coef", 0.25},
                                                   {"dropout_rate", 0.2}}))
          .config;
  EXPECT_EQ(config.moe.profile, "hf");
  EXPECT_EQ(config.moe.num_experts, 5);
  EXPECT_EQ(config.moe.expert_capacity, 3);
  EXPECT_EQ(config.moe.jitter, 0.02);
  EXPECT_EQ(config.moe.z_loss, 0.5);
  EXPECT_EQ(config.moe.balance_loss, 0.25);
  EXPECT_EQ(config.moe.expert_dropout, 0.2);
}

TEST(HfConfig, OwnSettingsComeBackWhole) {
  ModelConfig config;
  config.num_encoder_layers = 5;
  config.moe.encoder_layers = "0,3";
  config.moe.group_sequences = 7;
  config.feed_forward = "geglu";
  EXPECT_FALSE(fits_hugging_face(config));
  const ModelDescription again =
      parse_model_description(model_description_text(config, DType::kBF16), "c");
  EXPECT_TRUE(again.own_settings);
  EXPECT_EQ(again.dtype, DType::kBF16);
  ModelConfig copy = again.config;
  FieldList ours, theirs;
  config.list_fields(ours);
  copy.list_fields(theirs);
  EXPECT_EQ(ours.to_json(), theirs.to_json());
}

TEST(HfConfig, AttentionExpertsAreOurs) {
  ModelConfig config;
  EXPECT_TRUE(fits_hugging_face(config));
  config.moe.attention_experts = "linear";
  EXPECT_FALSE(fits_hugging_face(config));
  json written = json::parse(model_description_text(config, DType::kF32));
  EXPECT_EQ(written["switchyard"]["moe"]["attention_experts"], "linear");
  EXPECT_EQ(parse(written).config.moe.attention_experts, "linear");
  written["switchyard"]["moe"]["profile"] = "hf";
  try {
    parse(written);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no experts in attention"));
  }
}

// The step of a stack is found without trying every one: a config.json may ask for 65536 layers.
TEST(HfConfig, ManyLayersTakeNoTime) {
  ModelConfig config;
  config.moe.encoder_layers = "0,3";
  config.num_encoder_layers = 1 << 16;
  const std::clock_t begin = std::clock();
  EXPECT_FALSE(fits_hugging_face(config));
  EXPECT_NO_THROW(parse_model_description(model_description_text(config, DType::kF32), "c"));
  EXPECT_LT(std::clock() - begin, 5 * CLOCKS_PER_SEC);
}

TEST(HfConfig, RefusalsNameTheKey) {
  const auto refused = [](const json& object, const std::string& what) {
    try {
      parse(object);
      ADD_FAILURE() << "accepted: " << object;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
  };
  const std::string sparse = "switch_transformers";
  refused(kSizes, "no model_type");
  refused(config_of_type("bert"), "model_type = \"bert\"");
  refused(config_of_type("t5", {{"d_model", 0}}), "d_model = 0 is out of range");
  refused(config_of_type("t5", {{"d_ff", int64_t{1} << 62}}), "d_ff");
  refused(config_of_type("t5", {{"num_heads", "3"}}), "num_heads has the wrong type");
  refused(config_of_type("t5", {{"vocab_size", 1e9}}), "vocab_size has the wrong type");
  refused(config_of_type("t5", {{"d_kv", nullptr}}), "no d_kv");
  refused(config_of_type("t5", {{"feed_forward_proj", "gated-silu"}}), "gated-silu");
  refused(config_of_type("t5", {{"feed_forward_proj", "gated-gelu"}, {"dense_act_fn", "silu"}}),
          "dense_act_fn = \"silu\"");
  refused(config_of_type("t5", {{"dtype", "int8"}}), "dtype = \"int8\"");
  refused(config_of_type(sparse, {{"num_experts", 0}}), "num_experts = 0 is out of range");
  refused(config_of_type(sparse, {{"expert_capacity", -1}}), "expert_capacity");
  refused(config_of_type(sparse, {{"router_bias", true}}), "router_bias");
  json own = json::parse(model_description_text(ModelConfig{}, DType::kF32));
  own["d_model"] = 512;
  refused(own, "d_model = 512 disagrees with the 256");
  own["d_model"] = 256;
  own["switchyard"]["moe"]["no_such_key"] = 1;
  refused(own, "unknown key 'moe.no_such_key'");
}

}  // namespace
}  // namespace switchyard
