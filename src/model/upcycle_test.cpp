// Dense models with experts added: they compute what the dense ones do, as far as their gates say.
#include "model/upcycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/files.h"
#include "model/model_directory.h"
#include "tests/error_of.h"
#include "tests/made_up_ids.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::made_up_ids;
namespace fs = std::filesystem;

ModelConfig dense_config(const std::string& feed_forward = "relu", bool tied = true) {
  ModelConfig config;
  config.d_model = 16;
  config.d_ff = 24;
  config.d_kv = 4;
  config.num_heads = 3;
  config.num_encoder_layers = 4;
  config.num_decoder_layers = 2;
  config.vocab_size = 61;
  config.init_scale = 1.0;
  config.feed_forward = feed_forward;
  config.tie_embeddings = tied;
  config.moe.num_experts = 0;
  return config;
}

UpcycleOptions options_with(const std::string& gate, int64_t experts = 4) {
  UpcycleOptions options;
  options.moe.num_experts = experts;
  options.moe.gate = gate;
  options.moe.capacity = "dropless";
  return options;
}

class UpcycleTest : public ::testing::Test {
 protected:
  std::string dense() const { return folder_ / "dense"; }
  std::string sparse() const { return folder_ / "sparse"; }

  void save_dense(const ModelConfig& config, DType dtype = DType::kF32) const {
    fs::remove_all(dense());
    make_directories(dense());
    EncoderDecoder model(config, Precision::kFloat32);
    model.parameters().initialize(3);
    SaveOptions options;
    options.dtype = dtype;
    save_model(dense(), model, options);
  }

  UpcycleResult upcycle(const UpcycleOptions& options) const {
    fs::remove_all(sparse());
    return upcycle_model(dense(), sparse(), options);
  }

  static at::Tensor logits(EncoderDecoder& model) {
    const c10::NoGradGuard no_grad;
    const Batch batch = make_batch(made_up_ids(3, 9, 61, 1), made_up_ids(3, 5, 61, 2));
    return model.logits(model.decode(batch, model.encode(batch, {}), {}));
  }

  double largest_difference() const {
    const auto before = load_model(dense(), Precision::kFloat32);
    const auto after = load_model(sparse(), Precision::kFloat32);
    return (logits(*before) - logits(*after)).abs().max().item<double>();
  }

  testing::TemporaryFolder folder_;
};

TEST_F(UpcycleTest, NormalizedGatesKeepTheFunction) {
  for (const char* feed_forward : {"relu", "geglu"}) {
    for (const char* gate : {"normalized", "straight_through"}) {
      for (const int64_t every : {1, 2}) {
        save_dense(dense_config(feed_forward, /*tied=*/every == 1));
        UpcycleOptions options = options_with(gate);
        options.moe.sparse_every = every;
        const UpcycleResult result = upcycle(options);
        EXPECT_LT(largest_difference(), 1e-5) << feed_forward << " " << gate << " " << every;
        EXPECT_LT(result.difference.logits, 1e-5);
        EXPECT_NEAR(result.difference.sparse_nlp, result.difference.dense_nlp, 1e-6);
        EXPECT_GT(result.parameters_after, result.parameters_before);
      }
    }
  }
}

TEST_F(UpcycleTest, OtherRoutersKeepTheFunctionToo) {
  save_dense(dense_config());
  for (const char* router : {"top2", "switch_max", "hash"}) {
    UpcycleOptions options =
        options_with(router == std::string("hash") ? "probability" : "normalized");
    options.moe.router = router;
    upcycle(options);
    EXPECT_LT(largest_difference(), 1e-5) << router;
  }
}

TEST_F(UpcycleTest, ProbabilitiesAsGatesChangeItAndSaySo) {
  save_dense(dense_config());
  const UpcycleResult result = upcycle(options_with("probability"));
  EXPECT_GT(largest_difference(), 1e-2);
  EXPECT_GT(result.difference.logits, 1e-2);
  UpcycleOptions scaled = options_with("probability");
  scaled.output_scale = 4;
  scaled.moe.router_init_scale = 1e-8;  // gates of almost exactly 1 / 4
  EXPECT_LT(upcycle(scaled).difference.logits, 1e-3);
}

TEST_F(UpcycleTest, ExpertsAreCopiesAndRoutersAreNew) {
  save_dense(dense_config("geglu"));
  upcycle(options_with("normalized"));
  const auto before = load_model(dense(), Precision::kFloat32);
  const auto after = load_model(sparse(), Precision::kFloat32);
  const std::string layer = "encoder.block.1.layer.1.mlp.";
  for (const char* weight : {"wi.weight", "wo.weight"}) {
    const at::Tensor dense = before->parameters().find(layer + weight)->value();
    const at::Tensor experts = after->parameters().find(layer + "experts." + weight)->value();
    for (int64_t e = 0; e < 4; ++e) EXPECT_TRUE(at::equal(experts[e], dense)) << weight;
  }
  const at::Tensor router = after->parameters().find(layer + "router.classifier.weight")->value();
  EXPECT_GT(router.abs().min().item<double>(), 0);
  EXPECT_FALSE(at::equal(router[0], router[1]));
  UpcycleOptions other = options_with("normalized");
  other.seed = 2;
  upcycle(other);
  const auto again = load_model(sparse(), Precision::kFloat32);
  EXPECT_FALSE(
      at::equal(again->parameters().find(layer + "router.classifier.weight")->value(), router));
}

TEST_F(UpcycleTest, NoiseIsAnotherForEachExpertAndOfTheSizeAskedFor) {
  ModelConfig config = dense_config();
  config.d_ff = 400;
  save_dense(config);
  UpcycleOptions options = options_with("normalized");
  options.noise = 0.1;
  upcycle(options);
  const auto before = load_model(dense(), Precision::kFloat32);
  const auto after = load_model(sparse(), Precision::kFloat32);
  for (const char* weight : {"wi.weight", "wo.weight"}) {
    const std::string layer = "decoder.block.1.layer.2.mlp.";
    const at::Tensor dense = before->parameters().find(layer + weight)->value();
    const at::Tensor noise =
        after->parameters().find(layer + "experts." + weight)->value() - dense.unsqueeze(0);
    const double rms = std::sqrt(dense.square().mean().item<double>());
    for (int64_t e = 0; e < 4; ++e) {
      EXPECT_NEAR(std::sqrt(noise[e].square().mean().item<double>()) / rms, 0.1, 0.01) << weight;
      const at::Tensor next = noise[(e + 1) % 4];
      EXPECT_LT(std::abs((noise[e] * next).mean().item<double>()), 0.001 * rms * rms) << weight;
    }
  }
}

TEST_F(UpcycleTest, CarriesOverTokenizerAndTypeOfWeights) {
  save_dense(dense_config(), DType::kBF16);
  write_file(dense() + "/" + kTokenizerFile, "a tokenizer");
  write_file(dense() + "/generation_config.json", "{\"max_length\": 7}");
  upcycle(options_with("normalized"));
  EXPECT_EQ(read_file(sparse() + "/" + kTokenizerFile), "a tokenizer");
  EXPECT_EQ(read_file(sparse() + "/generation_config.json"), "{\"max_length\": 7}");
  EXPECT_EQ(read_model_description(sparse()).dtype, DType::kBF16);
  EXPECT_LT(largest_difference(), 1e-5);
}

TEST_F(UpcycleTest, TransformersReadsItWhereGatesAreProbabilities) {
  save_dense(dense_config());
  upcycle(options_with("probability"));
  EXPECT_TRUE(fits_hugging_face(read_model_description(sparse()).config));
  upcycle(options_with("normalized"));
  EXPECT_FALSE(fits_hugging_face(read_model_description(sparse()).config));
}

TEST_F(UpcycleTest, RefusesWhatDoesNotFit) {
  save_dense(dense_config());
  const auto refused = [&](const UpcycleOptions& options, const std::string& from) {
    fs::remove_all(sparse());
    const Error error = error_of([&] { upcycle_model(from, sparse(), options); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_FALSE(fs::exists(sparse()));
    return std::string(error.what());
  };
  EXPECT_THAT(refused(options_with("normalized", 0), dense()), HasSubstr("no experts"));
  UpcycleOptions attention = options_with("normalized");
  attention.moe.attention_experts = "linear";
  EXPECT_THAT(refused(attention, dense()), HasSubstr("attention"));
  UpcycleOptions sparse_every = options_with("normalized");
  sparse_every.moe.sparse_every = 9;
  EXPECT_THAT(refused(sparse_every, dense()), HasSubstr("no block is routed"));
  upcycle(options_with("normalized"));
  fs::rename(sparse(), folder_ / "other");
  EXPECT_THAT(refused(options_with("normalized"), folder_ / "other"), HasSubstr("experts already"));
  make_directories(sparse());
  const Error error =
      error_of([&] { upcycle_model(dense(), sparse(), options_with("normalized")); });
  EXPECT_THAT(error.what(), HasSubstr("something of this name"));
}

TEST_F(UpcycleTest, DamagedWeightsLeaveNothingBehind) {
  save_dense(dense_config());
  const std::string path = dense() + "/model.safetensors";
  const std::string bytes = read_file(path);
  write_file(path, bytes.substr(0, bytes.size() - 10));
  const Error error =
      error_of([&] { upcycle_model(dense(), sparse(), options_with("normalized")); });
  EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.path().filename(), "dense");
  }
}

}  // namespace
}  // namespace switchyard
