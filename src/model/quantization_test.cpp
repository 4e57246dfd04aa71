#include "model/quantization.h"

#include <gtest/gtest.h>

#include <set>

#include "model/encoder_decoder.h"
#include "model/hf_config.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using nlohmann::json;

json described() {
  return json::parse(quantized_description_text(R"({"d_model": 8, "kept": [1]})", "config.json"));
}

TEST(Quantization, DescribesItselfAsCompressedTensorsDoes) {
  const json config = described();
  EXPECT_EQ(config["kept"], json({1}));
  EXPECT_EQ(config["dtype"], "float32");
  const json& own = config["quantization_config"];
  EXPECT_EQ(own["quant_method"], "compressed-tensors");
  EXPECT_EQ(own["format"], "int-quantized");
  const json& weights = own["config_groups"]["group_0"]["weights"];
  EXPECT_EQ(weights["num_bits"], 8);
  EXPECT_EQ(weights["strategy"], "channel");
  EXPECT_EQ(parse_quantization(config, ""), Quantization::kInt8);
}

TEST(Quantization, KeysOfOtherToolsDoNotMatter) {
  json config = described();
  config["quantization_config"]["version"] = "0.9";
  config["quantization_config"]["config_groups"]["group_0"]["weights"]["observer"] = "minmax";
  config["quantization_config"]["config_groups"]["group_0"]["input_activations"] = nullptr;
  EXPECT_EQ(parse_quantization(config, ""), Quantization::kInt8);
}

TEST(Quantization, NoKeyIsNoQuantization) {
  EXPECT_EQ(parse_quantization(json::object(), ""), Quantization::kNone);
  EXPECT_EQ(parse_quantization({{"quantization_config", nullptr}}, ""), Quantization::kNone);
}

TEST(Quantization, RefusesOtherKinds) {
  const auto refused = [](const std::string& pointer, const json& value) {
    json config = described();
    config[json::json_pointer("/quantization_config" + pointer)] = value;
    EXPECT_EQ(testing::error_of([&] { parse_quantization(config, "c.json"); }).kind(),
              ErrorKind::kUsage)
        << pointer;
  };
  const std::string group = "/config_groups/group_0";
  refused("", 3);
  refused("/quant_method", "gptq");
  refused("/format", "pack-quantized");
  refused("/config_groups", json::array());
  refused("/config_groups/group_1", json::object());
  refused(group, "int8");
  refused(group + "/weights", nullptr);
  refused(group + "/weights/num_bits", 4);
  refused(group + "/weights/symmetric", false);
  refused(group + "/weights/strategy", "group");
  refused(group + "/weights/type", "float");
}

TEST(Quantization, TakesMatricesOfProducts) {
  ModelConfig config;
  config.d_model = 16;
  config.d_ff = 8;
  config.num_heads = 2;
  config.d_kv = 4;
  config.num_encoder_layers = config.num_decoder_layers = 2;
  config.vocab_size = 11;
  config.tie_embeddings = false;
  config.moe.num_experts = 2;
  config.moe.attention_experts = "feed_forward";
  const EncoderDecoder model(config, Precision::kFloat32, at::kMeta);
  std::set<std::string> taken, left;
  for (const Parameter& parameter : model.parameters().all()) {
    const std::string& name = parameter.name();
    const size_t last = name.rfind('.', name.rfind('.') - 1);
    (is_quantizable(parameter) ? taken : left).insert(name.substr(last == name.npos ? 0 : last));
  }
  EXPECT_EQ(taken, (std::set<std::string>{"shared.weight", "lm_head.weight", ".q.weight",
                                          ".k.weight", ".v.weight", ".o.weight", ".wi.weight",
                                          ".wo.weight", ".qkv.weight"}));
  EXPECT_EQ(left, (std::set<std::string>{".layer_norm.weight", ".final_layer_norm.weight",
                                         ".relative_attention_bias.weight", ".classifier.weight"}));
}

}  // namespace
}  // namespace switchyard
