#include "infer/batcher.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <span>

#include "infer/cached_decoder.h"
#include "infer/greedy.h"
#include "infer/sampling.h"
#include "infer/step_decoder.h"
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
    request.on_id = [this, number](int64_t id, std::span<const float> log_p) {
      streamed_[number].push_back(id);
      log_probs_[number].push_back(log_p[static_cast<size_t>(id)]);
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

TEST_F(BatcherTest, DrawsOfARequestDiffer) {
  Batcher batcher(*model_, 4);
  for (int i = 0; i < 3; ++i) {
    BatchRequest asked = request(1);
    asked.draw = static_cast<uint64_t>(i);
    asked.on_done = [this, i](Generation generation) { done_[i] = std::move(generation); };
    batcher.submit(std::move(asked));
  }
  while (batcher.step()) {
  }
  EXPECT_EQ(done_[0].ids, alone(1).ids);
  EXPECT_NE(done_[1].ids, done_[0].ids);
  EXPECT_NE(done_[2].ids, done_[1].ids);
}

TEST_F(BatcherTest, TargetsAreGivenTheProbabilitiesOfTheirIds) {
  Batcher batcher(*model_, 3);
  const std::vector<int> numbers = {0, 1, 2, 4};
  for (const int number : numbers) {
    const Generation own = alone(number);
    BatchRequest asked = request(number);
    asked.output = {};
    asked.sample.reset();
    asked.target = own.ids;
    if (own.finished) asked.target.push_back(kDecoderEosId);
    batcher.submit(std::move(asked));
  }
  while (batcher.step()) {
  }
  for (const int number : numbers) {
    const Generation own = alone(number);
    const Generation& found = done_.at(number);
    const auto prefix =
        static_cast<std::ptrdiff_t>(found.token_log_probs.size() - own.token_log_probs.size());
    EXPECT_EQ(prefix, number % 3 == 1 ? 2 : 0);
    EXPECT_EQ(
        std::vector<double>(found.token_log_probs.begin() + prefix, found.token_log_probs.end()),
        own.token_log_probs);
    double sum = 0;
    for (const double log_p : found.token_log_probs) sum += log_p;
    EXPECT_EQ(found.log_prob, sum);
    EXPECT_EQ(log_probs_[number], found.token_log_probs);
  }
}

TEST_F(BatcherTest, TracesSayWhereTokensWent) {
  const auto use_before = model_->expert_use();
  std::vector<std::shared_ptr<RoutingTrace>> traces;
  Batcher batcher(*model_, 3);
  for (int i = 0; i < 5; ++i) {
    BatchRequest asked = request(i);
    traces.push_back(asked.trace = std::make_shared<RoutingTrace>());
    batcher.submit(std::move(asked));
  }
  while (batcher.step()) {
  }
  std::vector<ExpertUse> use = model_->expert_use();
  for (size_t l = 0; l < use.size(); ++l) {
    for (size_t e = 0; e < use[l].tokens.size(); ++e) use[l].tokens[e] -= use_before[l].tokens[e];
  }
  ASSERT_EQ(use.size(), 2u);
  for (int i = 0; i < 5; ++i) {
    const RoutingTrace& trace = *traces[static_cast<size_t>(i)];
    int64_t read[2] = {0, 0};
    for (const TokenRoute& route : trace) {
      EXPECT_EQ(route.position, read[route.layer]++);
      EXPECT_GT(route.gate, 0.25f);
      EXPECT_LE(route.gate, 1.0f);
      EXPECT_FALSE(route.dropped);
      --use[static_cast<size_t>(route.layer)].tokens[static_cast<size_t>(route.expert)];
    }
    EXPECT_EQ(read[0], static_cast<int64_t>(input(i).size()));
    // The decoder reads the start id and all but the last of what it writes.
    const int64_t written = done_.at(i).length() + (i % 3 == 1 ? 2 : 0);
    EXPECT_EQ(read[1], written);
    BatchRequest again = request(i);
    again.on_id = nullptr;
    again.on_done = nullptr;
    again.trace = std::make_shared<RoutingTrace>();
    Batcher other(*model_, 1);
    other.submit(again);
    while (other.step()) {
    }
    ASSERT_EQ(again.trace->size(), trace.size());
    for (size_t r = 0; r < trace.size(); ++r) {
      EXPECT_EQ((*again.trace)[r].expert, trace[r].expert);
      EXPECT_EQ((*again.trace)[r].gate, trace[r].gate);
    }
  }
  for (const ExpertUse& layer : use) {
    for (const int64_t left : layer.tokens) EXPECT_EQ(left, 0) << layer.layer;
  }
}

TEST_F(BatcherTest, TracesMarkTokensWithoutAPlace) {
  ModelConfig config = small();
  config.moe.profile = "hf";
  config.moe.expert_capacity = 2;
  EncoderDecoder plain(config, Precision::kFloat32);
  plain.parameters().initialize(11);
  InferenceModel model(weights_of(plain));
  RoutingTrace trace;
  RoutingTrace* const traces[] = {&trace};
  const std::vector<int32_t> inputs[] = {input(4)};
  model.encode(inputs, traces);
  ASSERT_EQ(trace.size(), inputs[0].size());
  std::map<int, int> kept, dropped;
  for (const TokenRoute& route : trace) ++(route.dropped ? dropped : kept)[route.expert];
  ASSERT_FALSE(dropped.empty());
  for (const auto& [expert, count] : dropped) EXPECT_EQ(kept[expert], 2) << count;
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
