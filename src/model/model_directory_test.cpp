#include "model/model_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

ModelConfig tiny(int64_t experts, const std::string& feed_forward, bool tied) {
  ModelConfig config;
  config.d_model = 8;
  config.d_ff = 5;
  config.d_kv = 3;
  config.num_heads = 2;
  config.num_encoder_layers = 2;
  config.num_decoder_layers = 3;
  config.vocab_size = 11;
  config.feed_forward = feed_forward;
  config.tie_embeddings = tied;
  config.moe.num_experts = experts;
  return config;
}

class ModelDirectoryTest : public ::testing::Test {
 protected:
  ModelDirectoryTest() : path_(::testing::TempDir() + format("model-{}", ::getpid())) { clear(); }
  ~ModelDirectoryTest() override { fs::remove_all(path_); }

  void clear() const {
    fs::remove_all(path_);
    make_directories(path_);
  }

  std::unique_ptr<EncoderDecoder> make(const ModelConfig& config) const {
    auto model = std::make_unique<EncoderDecoder>(config, Precision::kFloat32);
    model->parameters().initialize(5);
    return model;
  }

  /// Writes the weights of `path_` again with `change` made to each tensor's name and shape; a
  /// tensor whose name becomes empty is left out.
  void rewrite(const std::function<void(TensorSpec&)>& change,
               const std::vector<TensorSpec>& more = {}) const {
    std::vector<TensorSpec> specs;
    std::vector<std::string> data;
    {
      const TensorFiles files(path_);
      for (const auto& [name, stored] : files.tensors()) {
        TensorSpec spec = stored.spec();
        change(spec);
        if (spec.name.empty()) continue;
        specs.push_back(spec);
        data.emplace_back(reinterpret_cast<const char*>(stored.data().data()), spec.bytes());
      }
    }
    for (const TensorSpec& spec : more) {
      specs.push_back(spec);
      data.emplace_back(spec.bytes(), '\0');
    }
    write_tensor_files(path_, specs, {}, [&](size_t i, SafetensorsWriter& file) {
      file.write(std::as_bytes(std::span(data[i])));
    });
  }

  void change_config(const nlohmann::json& keys) const {
    auto object = nlohmann::json::parse(read_file(path_ + "/config.json"));
    object.erase("switchyard");
    object.update(keys);
    write_file(path_ + "/config.json", object.dump());
  }

  void expect_refused(const std::string& what, ErrorKind kind = ErrorKind::kDamaged) const {
    try {
      load_model(path_, Precision::kFloat32);
      ADD_FAILURE() << "accepted: " << what;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
      EXPECT_EQ(error.kind(), kind) << error.what();
    }
  }

  std::string path_;
};

void expect_same(const EncoderDecoder& a, const EncoderDecoder& b) {
  const auto& left = a.parameters().all();
  const auto& right = b.parameters().all();
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].name(), right[i].name());
    EXPECT_TRUE(at::equal(left[i].value(), right[i].value())) << left[i].name();
  }
}

TEST_F(ModelDirectoryTest, WritesWhatItReads) {
  for (const int64_t experts : {0, 1, 3}) {
    for (const char* feed_forward : {"relu", "geglu"}) {
      for (const bool tied : {true, false}) {
        clear();
        const auto model = make(tiny(experts, feed_forward, tied));
        SaveOptions options;
        options.shard_bytes = tied ? kDefaultShardBytes : 500;
        save_model(path_, *model, options);
        EXPECT_EQ(fs::exists(path_ + "/model.safetensors.index.json"), !tied);
        const auto loaded = load_model(path_, Precision::kFloat32);
        expect_same(*model, *loaded);
        EXPECT_EQ(loaded->config().moe.profile, "paper");
      }
    }
  }
}

TEST_F(ModelDirectoryTest, NamesAreHuggingFaces) {
  save_model(path_, *make(tiny(2, "relu", true)), {});
  {
    const TensorFiles files(path_);
    EXPECT_TRUE(files.find("encoder.block.0.layer.1.mlp.wi.weight"));
    const StoredTensor* expert =
        files.find("decoder.block.1.layer.2.mlp.experts.expert_1.wo.weight");
    ASSERT_TRUE(expert);
    EXPECT_EQ(expert->spec().shape, (std::vector<int64_t>{8, 5}));
    EXPECT_FALSE(files.find("lm_head.weight"));
  }
  clear();
  save_model(path_, *make(tiny(0, "geglu", false)), {});
  const TensorFiles files(path_);
  EXPECT_TRUE(files.find("encoder.block.0.layer.1.DenseReluDense.wi_1.weight"));
  EXPECT_TRUE(files.find("decoder.block.2.layer.2.DenseReluDense.wo.weight"));
  EXPECT_TRUE(files.find("lm_head.weight"));
}

TEST_F(ModelDirectoryTest, AttentionExperts) {
  for (const char* kind : {"linear", "feed_forward"}) {
    for (const char* feed_forward : {"relu", "geglu"}) {
      clear();
      ModelConfig config = tiny(3, feed_forward, true);
      config.moe.attention_experts = kind;
      config.moe.attention_decoder_layers = "0,2";
      const auto model = make(config);
      save_model(path_, *model, {});
      const auto loaded = load_model(path_, Precision::kFloat32);
      expect_same(*model, *loaded);
      EXPECT_EQ(loaded->config().moe.attention_experts, kind);
    }
  }
  // The last one: hidden layers with GEGLU.
  {
    const TensorFiles files(path_);
    const std::string experts = "decoder.block.2.layer.0.SelfAttention.experts.expert_1.";
    for (const auto& [name, shape] : {std::pair{"wi_0", std::vector<int64_t>{5, 8}},
                                      {"wi_1", {5, 8}},
                                      {"q", {6, 5}},
                                      {"kv", {6, 5}}}) {
      const StoredTensor* stored = files.find(experts + name + ".weight");
      ASSERT_TRUE(stored) << name;
      EXPECT_EQ(stored->spec().shape, shape) << name;
    }
    // Queries stand on top: the first 6 of expert 1's 12 rows.
    const auto loaded = load_model(path_, Precision::kFloat32);
    const at::Tensor qkv = loaded->parameters()
                               .find("decoder.block.2.layer.0.SelfAttention.experts.qkv.weight")
                               ->value()
                               .detach();
    EXPECT_EQ(0, std::memcmp(files.find(experts + "q.weight")->data().data(),
                             qkv[1].const_data_ptr<float>(), 6 * 5 * 4));
    EXPECT_TRUE(files.find("decoder.block.2.layer.0.SelfAttention.router.classifier.weight"));
    EXPECT_TRUE(files.find("decoder.block.2.layer.0.SelfAttention.o.weight"));
    EXPECT_FALSE(files.find("decoder.block.2.layer.0.SelfAttention.q.weight"));
    EXPECT_TRUE(files.find("decoder.block.1.layer.0.SelfAttention.q.weight"));
  }
  // What Hugging Face's keys describe has no such experts.
  change_config({{"feed_forward_proj", "gated-gelu"}});
  expect_refused("missing encoder.block.1.layer.0.SelfAttention.q.weight");
  expect_refused("not of this model: decoder.block.0.layer.0.SelfAttention.experts.expert_0");
}

TEST_F(ModelDirectoryTest, GatedWeightsAreGateOnTopOfLinear) {
  const auto model = make(tiny(0, "geglu", false));
  save_model(path_, *model, {});
  const TensorFiles files(path_);
  const at::Tensor wi =
      model->parameters().find("encoder.block.0.layer.1.mlp.wi.weight")->value().detach();
  const StoredTensor* gate = files.find("encoder.block.0.layer.1.DenseReluDense.wi_0.weight");
  const StoredTensor* linear = files.find("encoder.block.0.layer.1.DenseReluDense.wi_1.weight");
  EXPECT_EQ(0, std::memcmp(gate->data().data(), wi.const_data_ptr<float>(), 5 * 8 * 4));
  EXPECT_EQ(0, std::memcmp(linear->data().data(), wi.const_data_ptr<float>() + 5 * 8, 5 * 8 * 4));
}

TEST_F(ModelDirectoryTest, OtherTypesAndPrecisions) {
  const auto model = make(tiny(3, "relu", true));
  for (const auto& [stored, type] :
       {std::pair(DType::kBF16, at::kBFloat16), std::pair(DType::kF16, at::kHalf),
        std::pair(DType::kF64, at::kDouble)}) {
    clear();
    SaveOptions options;
    options.dtype = stored;
    save_model(path_, *model, options);
    EXPECT_EQ(read_model_description(path_).dtype, stored);
    for (const Precision precision :
         {Precision::kFloat32, Precision::kFloat64, Precision::kBfloat16Selective}) {
      const auto loaded = load_model(path_, precision);
      for (const Parameter& parameter : model->parameters().all()) {
        const Parameter& other = *loaded->parameters().find(parameter.name());
        const at::Tensor expected =
            parameter.value().detach().to(type).to(other.value().scalar_type());
        EXPECT_TRUE(at::equal(other.value(), expected)) << parameter.name();
        EXPECT_TRUE(at::equal(other.compute(), expected.to(other.compute().scalar_type())))
            << parameter.name();
      }
    }
  }
}

TEST_F(ModelDirectoryTest, AliasesOfTheEmbedding) {
  const auto model = make(tiny(0, "relu", true));
  // Any one name is enough; several may be there; the spurious table is ignored.
  for (const char* name :
       {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}) {
    clear();
    save_model(path_, *model, {});
    rewrite(
        [&](TensorSpec& spec) {
          if (spec.name == "shared.weight") spec.name = name;
        },
        {{"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
          DType::kF32,
          {32, 2}}});
    expect_same(*model, *load_model(path_, Precision::kFloat32));
  }
  clear();
  save_model(path_, *model, {});
  rewrite([](TensorSpec&) {}, {{"lm_head.weight", DType::kF32, {11, 8}},
                               {"encoder.embed_tokens.weight", DType::kF32, {11, 8}}});
  expect_same(*model, *load_model(path_, Precision::kFloat32));
}

TEST_F(ModelDirectoryTest, DirectoryWithoutOwnSettingsIsOfProfileHf) {
  save_model(path_, *make(tiny(3, "relu", true)), {});
  change_config({{"expert_capacity", 9}});
  const auto loaded = load_model(path_, Precision::kFloat32);
  EXPECT_EQ(loaded->config().moe.profile, "hf");
  EXPECT_EQ(loaded->config().moe.expert_capacity, 9);
}

TEST_F(ModelDirectoryTest, TensorsThatDoNotFitAreNamed) {
  const auto model = make(tiny(4, "relu", true));
  save_model(path_, *model, {});
  rewrite([](TensorSpec& spec) {
    if (spec.name.find("SelfAttention.q") != spec.name.npos) spec.name = "";
  });
  expect_refused(
      "missing encoder.block.0.layer.0.SelfAttention.q.weight, "
      "encoder.block.1.layer.0.SelfAttention.q.weight, "
      "decoder.block.0.layer.0.SelfAttention.q.weight and 2 more");
  save_model(path_, *model, {});
  rewrite(
      [](TensorSpec& spec) {
        if (spec.name == "encoder.final_layer_norm.weight") spec.shape = {2, 4};
      },
      {{"classifier.weight", DType::kF32, {2}}});
  expect_refused(
      "wrong: encoder.final_layer_norm.weight [2, 4] instead of [8]; "
      "not of this model: classifier.weight");
  save_model(path_, *model, {});
  rewrite([](TensorSpec& spec) {
    if (spec.name == "shared.weight") spec.dtype = DType::kI32;
  });
  expect_refused("shared.weight of type I32");
  save_model(path_, *model, {});
  change_config({{"num_experts", 5}});
  expect_refused("missing encoder.block.1.layer.1.mlp.experts.expert_4.wi.weight");
  change_config({{"num_layers", 1}});
  expect_refused("not of this model: encoder.block.1.layer.0.SelfAttention.k.weight");
}

TEST_F(ModelDirectoryTest, ConfigsThatAskForTheMoon) {
  save_model(path_, *make(tiny(3, "relu", true)), {});
  const std::string good = read_file(path_ + "/config.json");
  for (const nlohmann::json& keys :
       {nlohmann::json{{"d_model", 1 << 24}, {"d_ff", 1 << 24}, {"num_experts", 1 << 20}},
        nlohmann::json{{"num_layers", 1 << 16}}, nlohmann::json{{"num_experts", 1 << 20}},
        nlohmann::json{{"vocab_size", 1 << 30}}}) {
    write_file(path_ + "/config.json", good);
    change_config(keys);
    expect_refused("");
  }
  auto own = nlohmann::json::parse(good);
  own["switchyard"]["moe"]["attention_experts"] = "feed_forward";
  own["switchyard"]["moe"]["attention_d_ff"] = 1 << 24;
  write_file(path_ + "/config.json", own.dump());
  expect_refused("config.json asks for");
}

TEST_F(ModelDirectoryTest, NoConfigNoWeights) {
  expect_refused("no config.json", ErrorKind::kUsage);
  save_model(path_, *make(tiny(3, "relu", true)), {});
  fs::remove(path_ + "/model.safetensors");
  expect_refused("no model.safetensors", ErrorKind::kUsage);
}

TEST_F(ModelDirectoryTest, WeightsThatAreNaNAreNamed) {
  const auto model = make(tiny(3, "relu", true));
  const auto fill = [&](const char* name, double value) {
    model->parameters().find(name)->value().detach()[2][1][1].fill_(value);
  };
  for (const double value : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    for (const DType stored : {DType::kF32, DType::kBF16}) {
      fill("encoder.block.1.layer.1.mlp.experts.wo.weight", value);
      SaveOptions options;
      options.dtype = stored;
      save_model(path_, *model, options);
      const std::string name = "encoder.block.1.layer.1.mlp.experts.expert_2.wo.weight";
      expect_refused("weights that are NaN or infinite: " + name + ";");
      EXPECT_THAT(testing::error_of([&] { verify_weights(path_); }).what(), HasSubstr(name));
      fill("encoder.block.1.layer.1.mlp.experts.wo.weight", 0);
      save_model(path_, *model, options);
      verify_weights(path_);
    }
  }
}

}  // namespace
}  // namespace switchyard
