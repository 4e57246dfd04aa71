// Directories with weights of 8 bits: written, read by everything that reads models, refused.
#include "infer/quantize_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "infer/cached_decoder.h"
#include "infer/greedy.h"
#include "model/model_directory.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

ModelConfig small(int64_t experts) {
  ModelConfig config;
  config.d_model = 24;
  config.d_ff = 40;
  config.d_kv = 8;
  config.num_heads = 3;
  config.num_encoder_layers = config.num_decoder_layers = 2;
  config.vocab_size = 83;
  config.init_scale = 1.0;
  config.moe.num_experts = experts;
  config.moe.router_init_scale = 8.0;
  return config;
}

class QuantizeModel : public ::testing::Test {
 protected:
  std::string model() const { return folder_ / "model"; }
  std::string quantized() const { return folder_ / "quantized"; }

  std::unique_ptr<EncoderDecoder> save(const ModelConfig& config, DType dtype = DType::kF32) const {
    fs::remove_all(model());
    make_directories(model());
    auto made = std::make_unique<EncoderDecoder>(config, Precision::kFloat32);
    made->parameters().initialize(7);
    SaveOptions options;
    options.dtype = dtype;
    save_model(model(), *made, options);
    return made;
  }

  QuantizeResult quantize(uint64_t shard_bytes = kDefaultShardBytes) const {
    fs::remove_all(quantized());
    QuantizeOptions options;
    options.shard_bytes = shard_bytes;
    return quantize_model(model(), quantized(), options);
  }

  /// Writes the weights of the quantized directory again, changed.
  void change(const std::function<void(TensorSpec&, std::string&)>& change) const {
    std::vector<TensorSpec> specs;
    std::vector<std::string> data;
    {
      const TensorFiles files(quantized());
      for (const auto& [name, stored] : files.tensors()) {
        specs.push_back(stored.spec());
        data.emplace_back(reinterpret_cast<const char*>(stored.data().data()),
                          stored.data().size());
        change(specs.back(), data.back());
        if (specs.back().name.empty()) {
          specs.pop_back();
          data.pop_back();
        }
      }
    }
    write_tensor_files(quantized(), specs, {}, [&](size_t i, SafetensorsWriter& file) {
      file.write(std::as_bytes(std::span(data[i])));
    });
  }

  testing::TemporaryFolder folder_;
};

/// Each number within half a step of its row, or the same where there are no steps.
void expect_rounded(const EncoderDecoder& original, const EncoderDecoder& read) {
  const auto& before = original.parameters().all();
  const auto& after = read.parameters().all();
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    const at::Tensor exact = before[i].value().detach(), gap = (exact - after[i].value()).abs();
    if (is_quantizable(before[i])) {
      const at::Tensor step = std::get<0>(exact.abs().max(-1, true)) / 127;
      EXPECT_TRUE((gap <= 0.5001 * step).all().item<bool>()) << before[i].name();
      EXPECT_GT(gap.max().item<float>(), 0) << before[i].name();
    } else {
      EXPECT_EQ(gap.max().item<float>(), 0) << before[i].name();
    }
  }
}

TEST_F(QuantizeModel, EveryMatrixIsRoundedToStepsOfItsRow) {
  for (const int64_t experts : {0, 3}) {
    for (const char* feed_forward : {"relu", "geglu"}) {
      for (const bool tied : {true, false}) {
        ModelConfig config = small(experts);
        config.feed_forward = feed_forward;
        config.tie_embeddings = tied;
        if (experts > 0 && tied) config.moe.attention_experts = "feed_forward";
        const auto original = save(config);
        quantize(tied ? kDefaultShardBytes : 2000);
        EXPECT_EQ(fs::exists(quantized() + "/model.safetensors.index.json"), !tied);
        check_model_directory(quantized());
        verify_weights(quantized());
        expect_rounded(*original, *load_model(quantized(), Precision::kFloat32));
      }
    }
  }
}

TEST_F(QuantizeModel, StoresIntegersAndScalesUnderTheNamesOfTheWeights) {
  save(small(3), DType::kBF16);
  const QuantizeResult result = quantize();
  const TensorFiles files(quantized());
  uint64_t bytes = 0;
  for (const auto& [name, stored] : files.tensors()) bytes += stored.data().size();
  EXPECT_EQ(result.bytes_after, bytes);
  EXPECT_LT(result.bytes_after, result.bytes_before * 2 / 3);
  const std::string expert = "decoder.block.1.layer.2.mlp.experts.expert_2.wo.weight";
  for (const std::string& name : {expert, std::string("shared.weight")}) {
    ASSERT_TRUE(files.find(name));
    EXPECT_EQ(files.find(name)->spec().dtype, DType::kI8);
    ASSERT_TRUE(files.find(name + "_scale"));
    EXPECT_EQ(files.find(name + "_scale")->spec().dtype, DType::kF32);
    EXPECT_EQ(files.find(name + "_scale")->spec().shape,
              (std::vector<int64_t>{files.find(name)->spec().shape[0], 1}));
  }
  EXPECT_EQ(files.find("decoder.block.1.layer.2.mlp.router.classifier.weight")->spec().dtype,
            DType::kF32);
  EXPECT_FALSE(files.find("lm_head.weight"));
  EXPECT_EQ(read_model_description(quantized()).quantization, Quantization::kInt8);
}

TEST_F(QuantizeModel, KeepsWhatLiesBesideTheWeights) {
  save(small(0));
  write_file(model() + "/tokenizer_config.json", "{}");
  write_file(model() + "/optimizer.bin", "not wanted");
  auto config = nlohmann::json::parse(read_file(model() + "/config.json"));
  config["task_specific_params"] = {{"a", 1}};
  write_file(model() + "/config.json", config.dump());
  quantize();
  EXPECT_EQ(read_file(quantized() + "/tokenizer_config.json"), "{}");
  EXPECT_FALSE(fs::exists(quantized() + "/optimizer.bin"));
  EXPECT_EQ(read_file(quantized() + "/generation_config.json"),
            read_file(model() + "/generation_config.json"));
  const auto kept = nlohmann::json::parse(read_file(quantized() + "/config.json"));
  EXPECT_EQ(kept["task_specific_params"], config["task_specific_params"]);
  EXPECT_EQ(kept["switchyard"], config["switchyard"]);
}

std::vector<Generation> answers(const std::shared_ptr<const InferenceWeights>& weights) {
  InferenceModel model(weights);
  CachedDecoder decoder(model, {{4, 17, 33, 1}, {71, 1}, {9, 9, 60, 12, 44, 3, 1}});
  return greedy_decode(decoder, 20);
}

void expect_equal(const std::vector<Generation>& a, const std::vector<Generation>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].ids, b[i].ids);
    EXPECT_EQ(a[i].log_prob, b[i].log_prob);
  }
}

TEST_F(QuantizeModel, TheEngineReadsWhatWasWritten) {
  const auto original = save(small(3));
  quantize(5000);
  const auto mapped = map_weights(quantized(), Precision::kBfloat16Selective);
  EXPECT_EQ(mapped->type, WeightType::kInt8);
  EXPECT_EQ(mapped->converted_bytes, 0);
  expect_equal(
      answers(mapped),
      answers(make_weights(original->config(), WeightType::kInt8, [&](const Parameter& parameter) {
        return original->parameters().find(parameter.name())->value().detach();
      })));
}

TEST_F(QuantizeModel, Float32ComputesWithWhatTheIntegersStandFor) {
  save(small(3));
  quantize();
  const auto mapped = map_weights(quantized(), Precision::kFloat32);
  EXPECT_EQ(mapped->type, WeightType::kFloat32);
  const auto loaded = load_model(quantized(), Precision::kFloat32);
  expect_equal(answers(mapped), answers(weights_of(*loaded)));
}

TEST_F(QuantizeModel, RowsOfZerosStayZeros) {
  const auto original = save(small(0));
  original->parameters().find("shared.weight")->value().detach()[5].zero_();
  save_model(model(), *original, {});
  quantize();
  verify_weights(quantized());
  const auto read = load_model(quantized(), Precision::kFloat32);
  EXPECT_EQ(read->parameters().find("shared.weight")->value()[5].abs().max().item<float>(), 0);
}

TEST_F(QuantizeModel, RefusesToQuantizeTwiceAndToReplace) {
  save(small(0));
  quantize();
  const auto twice = [&] { quantize_model(quantized(), folder_ / "again", {}); };
  EXPECT_EQ(error_of(twice).what_part(), "the model is quantized already");
  EXPECT_FALSE(fs::exists(folder_ / "again"));
  const Error there = error_of([&] { quantize_model(model(), quantized(), {}); });
  EXPECT_EQ(there.kind(), ErrorKind::kUsage);
  EXPECT_THAT(there.what_part(), HasSubstr("already"));
}

TEST_F(QuantizeModel, LeavesNothingBehindWhenAWeightIsNotFinite) {
  const auto original = save(small(2));
  original->parameters()
      .find("encoder.block.1.layer.1.mlp.experts.wo.weight")
      ->value()
      .detach()[1][3][2] = NAN;
  save_model(model(), *original, {});
  const Error error = error_of([&] { quantize(); });
  EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
  EXPECT_THAT(error.what_part(), HasSubstr("expert_1.wo.weight"));
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.path(), model());
  }
}

TEST_F(QuantizeModel, ScalesMustBeFiniteAndAboveZero) {
  save(small(2));
  for (const float wrong : {0.0f, -1.0f, INFINITY, NAN}) {
    quantize();
    change([&](TensorSpec& spec, std::string& data) {
      if (spec.name != "encoder.block.1.layer.1.mlp.experts.expert_1.wi.weight_scale") return;
      data.replace(8, 4, reinterpret_cast<const char*>(&wrong), 4);
    });
    check_model_directory(quantized());
    const std::function<void()> readers[] = {
        [&] { verify_weights(quantized()); }, [&] { load_model(quantized(), Precision::kFloat32); },
        [&] { map_weights(quantized(), Precision::kBfloat16Selective); },
        [&] { map_weights(quantized(), Precision::kFloat32); }};
    for (const auto& read : readers) {
      const Error error = error_of(read);
      EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
      EXPECT_THAT(error.where_part(), HasSubstr("expert_1.wi.weight_scale"));
    }
  }
}

TEST_F(QuantizeModel, TypesShapesAndNamesMustFit) {
  save(small(2));
  const auto refused = [&](const std::string& what) {
    EXPECT_THAT(error_of([&] { check_model_directory(quantized()); }).what(), HasSubstr(what));
  };
  const std::string scale = "shared.weight_scale";
  quantize();
  change([&](TensorSpec& spec, std::string&) {
    if (spec.name == scale) spec.name.clear();
  });
  refused("missing shared.weight_scale");
  quantize();
  change([&](TensorSpec& spec, std::string&) {
    if (spec.name == scale) spec.shape = {83};
  });
  refused("wrong: shared.weight_scale [83] instead of [83, 1]");
  quantize();
  change([&](TensorSpec& spec, std::string&) {
    if (spec.name == scale) spec.dtype = DType::kI32;
  });
  refused("wrong: shared.weight_scale of type I32");
  quantize();
  change([&](TensorSpec& spec, std::string&) {
    if (spec.name == "shared.weight") spec.dtype = DType::kU8;
  });
  refused("wrong: shared.weight of type U8");
  quantize();
  auto config = nlohmann::json::parse(read_file(quantized() + "/config.json"));
  config.erase("quantization_config");
  write_file(quantized() + "/config.json", config.dump());
  refused("of type I8");
}

}  // namespace
}  // namespace switchyard
