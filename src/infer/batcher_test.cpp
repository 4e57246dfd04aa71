#include "infer/batcher.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "infer/cached_decoder.h"
#include "infer/greedy.h"
#include "infer/sampling.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

ModelConfig small() {
  ModelConfig config;
  config.d_model = 24;
  config.d_ff = 40;
  config.d_kv = 8;
  config.num_heads = 3;
  config.num_encoder_layers = 2;
  config.num_decoder_layers = 2;
  config.vocab_size = 71;
  config.init_scale = 1.0;
  config.moe.num_experts = 4;
  config.moe.router_init_scale = 8.0;
  return config;
}

/// bfloat16 and experts: what others compute beside a request must not change a bit of it.
class BatcherTest : public ::testing::Test {
 protected:
  BatcherTest() : plain_(small(), Precision::kBfloat16Selective) {
    plain_.parameters().initialize(11);
    model_.emplace(weights_of(plain_));
  }

  static std::vector<int32_t> input(int number) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 3 + number % 5 * 6; ++i) ids.push_back(2 + (number * 31 + i * 17) % 69);
    return ids;
  }

  BatchRequest request(int number) {
    BatchRequest request;
    request.input = input(number);
    request.max_new_tokens = 5 + number % 4 * 9;
    request.key = static_cast<uint64_t>(number);
    if (number % 3 == 1) request.output.prefix = {9, 10};
    if (number % 2 == 1) request.sample.emplace();
    request.on_id = [this, number](int64_t id, double log_p) {
      streamed_[number].push_back(id);
      log_probs_[number].push_back(log_p);
    };
    request.on_done = [this, number](Generation generation) {
      EXPECT_FALSE(done_.contains(number));
      done_[number] = std::move(generation);
    };
    return request;
  }

  /// The same request decoded by itself.
  Generation alone(int number) {
    const BatchRequest asked = request(number);
    CachedDecoder decoder(*model_, {asked.input});
    if (!asked.sample) return greedy_decode(decoder, asked.max_new_tokens, asked.output)[0];
    SamplingOptions sampling = *asked.sample;
    sampling.max_new_tokens = asked.max_new_tokens;
    return sample_decode(decoder, {asked.key}, sampling, asked.output)[0][0];
  }

  void expect_as_alone(int number) {
    const Generation one = alone(number);
    const Generation& found = done_.at(number);
    EXPECT_EQ(found.ids, one.ids) << number;
    EXPECT_EQ(found.token_log_probs, one.token_log_probs) << number;
    EXPECT_EQ(found.finished, one.finished) << number;
    EXPECT_EQ(log_probs_[number], one.token_log_probs) << number;
    EXPECT_EQ(static_cast<int64_t>(streamed_[number].size()), one.length()) << number;
  }

  EncoderDecoder plain_;
  std::optional<InferenceModel> model_;
  std::map<int, Generation> done_;
  std::map<int, std::vector<int64_t>> streamed_;
  std::map<int, std::vector<double>> log_probs_;
};

TEST_F(BatcherTest, RequestsJoinAndLeaveAndGetWhatTheyWouldAlone) {
  Batcher batcher(*model_, 4);
  int submitted = 0;
  while (submitted < 14 || batcher.running() + batcher.waiting() > 0) {
    for (int i = 0; i < 2 && submitted < 14; ++i) batcher.submit(request(submitted++));
    batcher.step();
    EXPECT_LE(batcher.running(), 4);
  }
  EXPECT_FALSE(batcher.step());
  ASSERT_EQ(done_.size(), 14u);
  for (int number = 0; number < 14; ++number) expect_as_alone(number);
}

TEST_F(BatcherTest, CancelledRequestsLeaveAtOnce) {
  Batcher batcher(*model_, 2);
  std::vector<uint64_t> numbers;
  for (int i = 0; i < 4; ++i) numbers.push_back(batcher.submit(request(i)));
  batcher.step();
  EXPECT_EQ(batcher.running(), 2);
  EXPECT_TRUE(batcher.cancel(numbers[0]));
  EXPECT_TRUE(batcher.cancel(numbers[3]));
  EXPECT_FALSE(batcher.cancel(numbers[3]));
  EXPECT_EQ(batcher.running(), 1);
  EXPECT_EQ(batcher.waiting(), 1);
  while (batcher.step()) {
  }
  EXPECT_EQ(done_.size(), 2u);
  expect_as_alone(1);
  expect_as_alone(2);
}

TEST_F(BatcherTest, DamagedWeightsEndAllRequests) {
  plain_.parameters().find("shared.weight")->value().detach()[5][3] = NAN;
  plain_.parameters().refresh_compute();
  Batcher batcher(*model_, 2);
  for (int i = 0; i < 3; ++i) batcher.submit(request(i));
  EXPECT_EQ(testing::error_of([&] { batcher.step(); }).kind(), ErrorKind::kRuntime);
  EXPECT_EQ(batcher.running() + batcher.waiting(), 0);
}

}  // namespace
}  // namespace switchyard
