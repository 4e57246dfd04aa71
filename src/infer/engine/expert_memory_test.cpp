// Bounded memory of experts: the same answers to the bit, and no more of the file in memory than
// was asked for.
#include "infer/engine/expert_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "infer/cached_decoder.h"
#include "infer/greedy.h"
#include "infer/quantize_model.h"
#include "model/model_directory.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

constexpr int64_t kExperts = 12;

/// An expert has 2 x 128 x 1024 numbers: 1 MiB in float32.
ModelConfig with_large_experts(const std::string& feed_forward = "relu") {
  ModelConfig config;
  config.d_model = 128;
  config.d_ff = 1024;
  config.d_kv = 16;
  config.num_heads = 2;
  config.num_encoder_layers = config.num_decoder_layers = 2;
  config.vocab_size = 83;
  config.init_scale = 1.0;
  config.feed_forward = feed_forward;
  config.moe.num_experts = kExperts;
  config.moe.router_init_scale = 8.0;
  return config;
}

/// Bytes of the files below `folder` that are mapped and in this process's memory.
int64_t resident_bytes(const std::string& folder) {
  std::ifstream maps("/proc/self/smaps");
  int64_t kilobytes = 0;
  bool own = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" kB") == line.npos && line.find('-') != line.npos) {
      own = line.find(folder) != line.npos;
    } else if (own && line.starts_with("Rss:")) {
      kilobytes += std::stoll(line.substr(4));
    }
  }
  return kilobytes * 1024;
}

std::vector<Generation> answers(InferenceModel& model) {
  std::vector<std::vector<int32_t>> inputs;
  for (int32_t i = 0; i < 6; ++i) inputs.push_back({2 + 7 * i, 11, 60 - 5 * i, 40 + i, 1});
  CachedDecoder decoder(model, inputs);
  return greedy_decode(decoder, 12);
}

void expect_equal(const std::vector<Generation>& a, const std::vector<Generation>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].ids, b[i].ids);
    EXPECT_EQ(a[i].log_prob, b[i].log_prob);
  }
}

class ExpertMemoryTest : public ::testing::Test {
 protected:
  void save(const ModelConfig& config, DType dtype = DType::kF32) const {
    EncoderDecoder model(config, Precision::kFloat32);
    model.parameters().initialize(7);
    SaveOptions options;
    options.dtype = dtype;
    make_directories(folder_ / "model");
    save_model(folder_ / "model", model, options);
  }

  /// The same answers within a third of the experts' bytes; returns what was counted.
  ExpertMemoryUse expect_bounded(const std::string& directory, Precision precision) const {
    const auto free_weights = map_weights(directory, precision);
    int64_t experts = 0;
    for (const StackWeights* stack : {&free_weights->encoder, &free_weights->decoder}) {
      for (const BlockWeights& block : stack->blocks) {
        if (!block.routed) continue;
        for (const FeedForwardWeights& expert : block.routed->experts) {
          for (const Matrix* matrix : {&expert.wi, &expert.linear, &expert.last[0]}) {
            experts += static_cast<int64_t>(matrix->bytes);
          }
        }
      }
    }
    const int64_t bound = experts / 3;
    InferenceModel free_model(free_weights);
    const auto expected = answers(free_model);
    EXPECT_FALSE(free_model.expert_memory());

    InferenceModel bounded(map_weights(directory, precision), {.expert_memory = bound});
    const int64_t before = resident_bytes(directory);
    expect_equal(answers(bounded), expected);
    const ExpertMemoryUse use = *bounded.expert_memory();
    EXPECT_EQ(use.bound, bound);
    EXPECT_LE(use.largest, bound);
    EXPECT_GT(use.largest, bound / 2);
    EXPECT_GT(use.evictions, 0);
    EXPECT_EQ(use.loads - use.evictions > 0, true);
    // Besides experts: other weights, and pages around those that were read.
    const auto all =
        static_cast<int64_t>(std::filesystem::file_size(directory + "/" + kWeightsFile));
    const int64_t others = all - experts, slack = 3 << 19;
    EXPECT_LT(resident_bytes(directory) - before, bound + others + slack);
    return use;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(ExpertMemoryTest, AnswersAreTheSameWithinAThirdOfTheExperts) {
  save(with_large_experts());
  expect_bounded(folder_ / "model", Precision::kFloat32);
}

TEST_F(ExpertMemoryTest, HoldsForQuantizedAndGatedExperts) {
  save(with_large_experts("geglu"));
  quantize_model(folder_ / "model", folder_ / "int8", {});
  expect_bounded(folder_ / "int8", Precision::kBfloat16Selective);
}

TEST_F(ExpertMemoryTest, RoomForOneExpertIsEnough) {
  save(with_large_experts());
  const auto weights = map_weights(folder_ / "model", Precision::kFloat32);
  InferenceModel free_model(weights);
  const int64_t bound = (1 << 20) + (4 << 12);  // the pages of one
  InferenceModel bounded(weights, {.expert_memory = bound});
  expect_equal(answers(bounded), answers(free_model));
  EXPECT_LE(bounded.expert_memory()->largest, bound);
  const Error error = error_of([&] { InferenceModel(weights, {.expert_memory = 1 << 20}); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what_part(), HasSubstr("an expert has 1.0 MiB"));
}

TEST_F(ExpertMemoryTest, GivesUpWhatWasUnusedForLongest) {
  save(with_large_experts());
  const auto weights = map_weights(folder_ / "model", Precision::kFloat32);
  ExpertMemory memory(*weights, 3 * ((1 << 20) + (4 << 12)));
  const RoutedWeights& layer = *weights->decoder.blocks[1].routed;
  const auto admit = [&](std::vector<int64_t> experts) { return memory.admit(layer, experts); };
  EXPECT_EQ(admit({0, 1, 2}), 3u);
  EXPECT_EQ(memory.use().loads, 3);
  EXPECT_EQ(admit({0}), 1u);
  EXPECT_EQ(admit({5}), 1u);  // for 1
  EXPECT_EQ(admit({0, 2, 5}), 3u);
  EXPECT_EQ(memory.use().loads, 4);
  EXPECT_EQ(memory.use().evictions, 1);
  EXPECT_EQ(admit({6, 7, 8, 9}), 3u);  // no more than fit together
  EXPECT_EQ(admit({9, 7}), 2u);
  EXPECT_EQ(memory.use().loads, 8);
  EXPECT_EQ(memory.use().evictions, 5);
}

TEST_F(ExpertMemoryTest, RefusesExpertsThatAreNotReadWhereTheyLie) {
  save(with_large_experts(), DType::kBF16);
  const auto expect_refused = [](const std::shared_ptr<const InferenceWeights>& weights) {
    const Error error = error_of([&] { InferenceModel(weights, {.expert_memory = 1 << 30}); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what_part(), HasSubstr("converted"));
  };
  expect_refused(map_weights(folder_ / "model", Precision::kFloat32));
  const EncoderDecoder model(with_large_experts(), Precision::kFloat32);
  expect_refused(weights_of(model));
  InferenceModel(map_weights(folder_ / "model", Precision::kBfloat16Selective),
                 {.expert_memory = 1 << 30});
}

}  // namespace
}  // namespace switchyard
