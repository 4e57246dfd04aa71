// The decoder with caches against the one that runs over the whole prefix, over all kinds of
// models.
#include "infer/cached_decoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <optional>

#include "base/random.h"
#include "infer/beam_search.h"
#include "infer/greedy.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using Inputs = std::vector<std::vector<int32_t>>;

constexpr int64_t kVocabulary = 83;

ModelConfig small() {
  ModelConfig config;
  config.d_model = 24;
  config.d_ff = 40;
  config.d_kv = 8;
  config.num_heads = 3;
  config.num_encoder_layers = 3;
  config.num_decoder_layers = 4;
  config.vocab_size = kVocabulary;
  config.init_scale = 1.0;
  config.relative_max_distance = 20;
  config.moe.num_experts = 4;
  config.moe.router_init_scale = 8.0;
  config.moe.capacity = "dropless";
  return config;
}

struct Kind {
  const char* name;
  std::function<void(ModelConfig&)> change;
  // Where padding is routed and experts fill up, padding within an input takes places by what it
  // attends to: in ModelStepDecoder to padding alone, here as in transformers to the real ids.
  bool padding_within = true;
};

std::vector<Kind> kinds() {
  return {
      {"switch", [](ModelConfig&) {}},
      {"every block", [](ModelConfig& c) { c.moe.sparse_every = 1; }},
      {"dense", [](ModelConfig& c) { c.moe.num_experts = 0; }},
      {"dense geglu untied",
       [](ModelConfig& c) {
         c.moe.num_experts = 0;
         c.feed_forward = "geglu";
         c.tie_embeddings = false;
       }},
      {"experts geglu", [](ModelConfig& c) { c.feed_forward = "geglu"; }},
      {"hf", [](ModelConfig& c) { c.moe.profile = "hf"; }},
      {"hf capacity",  // binds; in a decoder over whole prefixes it would, too
       [](ModelConfig& c) {
         c.moe.profile = "hf";
         c.moe.capacity = "profile";
         c.moe.expert_capacity = 5;
         c.moe.decoder_layers = "none";
       },
       /*padding_within=*/false},
      {"top2 all",
       [](ModelConfig& c) {
         c.moe.router = "top2";
         c.moe.second_choice = "all";
       }},
      {"top2 threshold",
       [](ModelConfig& c) {
         c.moe.router = "top2";
         c.moe.second_choice = "threshold";
       }},
      {"top2 none",
       [](ModelConfig& c) {
         c.moe.router = "top2";
         c.moe.second_choice = "none";
       }},
      {"top2 of t5x",
       [](ModelConfig& c) {
         c.moe.router = "top2";
         c.moe.second_choice = "all";
         c.moe.profile = "t5x";
       }},
      {"ntlb", [](ModelConfig& c) { c.moe.router = "ntlb"; }},
      {"switch_max", [](ModelConfig& c) { c.moe.router = "switch_max"; }},
      {"hash", [](ModelConfig& c) { c.moe.router = "hash"; }},
      {"attention experts", [](ModelConfig& c) { c.moe.attention_experts = "feed_forward"; }},
      {"linear attention experts", [](ModelConfig& c) { c.moe.attention_experts = "linear"; }},
  };
}

/// Lengths from 1 to beyond two pages; one with padding inside, one with padding behind.
Inputs inputs(bool padding_within = true) {
  const RandomStream random(3, kRandomTest);
  uint64_t draw = 0;
  Inputs all;
  for (const size_t length : {9, 1, 40, 17, 16}) {
    all.emplace_back();
    for (size_t i = 0; i < length; ++i) {
      all.back().push_back(1 + static_cast<int32_t>(random.below(draw++, kVocabulary - 1)));
    }
  }
  if (padding_within) all[0][3] = all[0][4] = 0;
  all[3].resize(20, 0);
  return all;
}

/// 22 steps in which rows are repeated, left out and reordered; rows' ids are made up.
std::vector<StepRows> made_up_steps(size_t num_inputs) {
  std::vector<StepRows> steps(1);
  for (size_t i = 0; i < num_inputs; ++i) {
    for (int copy = 0; copy < 2; ++copy) steps[0].add(static_cast<int64_t>(i), kDecoderStartId);
  }
  const RandomStream random(5, kRandomTest);
  uint64_t draw = 0;
  while (steps.size() < 22) {
    const size_t before = steps.back().size();
    const size_t count = steps.size() % 4 == 3 && before > 3 ? before - 1 : before;
    StepRows rows;
    for (size_t r = 0; r < count; ++r) {
      const bool stays = steps.size() % 3 != 0;
      const size_t parent = stays ? r : random.below(draw++, before);
      const uint64_t id = 2 + random.below(draw++, kVocabulary - 2);
      rows.add(static_cast<int64_t>(parent), static_cast<int64_t>(id));
    }
    steps.push_back(rows);
  }
  return steps;
}

double largest_gap(StepDecoder& a, StepDecoder& b, size_t num_inputs) {
  double gap = 0;
  for (const StepRows& rows : made_up_steps(num_inputs)) {
    gap = std::max(gap, (a.step(rows) - b.step(rows)).abs().max().item<double>());
  }
  return gap;
}

class Models {
 public:
  Models(const Kind& kind, Precision precision) : Models(changed(kind), precision) {}
  Models(const ModelConfig& config, Precision precision) : model(config, precision) {
    model.parameters().initialize(7);
    cached.emplace(weights_of(model));
  }
  EncoderDecoder model;
  std::optional<InferenceModel> cached;

 private:
  static ModelConfig changed(const Kind& kind) {
    ModelConfig config = small();
    kind.change(config);
    return config;
  }
};

TEST(CachedDecoder, GivesTheLogProbabilitiesOfWholePrefixes) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    Models models(kind, Precision::kFloat32);
    const Inputs given = inputs(kind.padding_within);
    ModelStepDecoder plain(models.model, given);
    CachedDecoder cached(*models.cached, given);
    EXPECT_LT(largest_gap(plain, cached, given.size()), 1e-5);
  }
}

// bfloat16: of one product of 24 numbers, let alone of a chain of them, the two ways round
// differently; both must be as close to float32 as bfloat16 lets them.
TEST(CachedDecoder, Bfloat16StaysNearFloat32) {
  ModelConfig config = small();
  config.moe.num_experts = 0;  // rounding may send a token to another expert
  Models narrow(config, Precision::kBfloat16Selective), wide(config, Precision::kFloat32);
  CachedDecoder cached(*narrow.cached, inputs()), exact(*wide.cached, inputs());
  EXPECT_LT(largest_gap(cached, exact, inputs().size()), 0.15);
}

/// The weights of `model` in 8 bits.
std::shared_ptr<const InferenceWeights> int8_weights(EncoderDecoder& model) {
  return make_weights(model.config(), WeightType::kInt8, [&](const Parameter& parameter) {
    return model.parameters().find(parameter.name())->value().detach();
  });
}

// Weights and what products read are both rounded, to steps of 1/254 of a row's largest number.
TEST(CachedDecoder, Int8StaysNearFloat32) {
  for (const char* feed_forward : {"relu", "geglu"}) {
    ModelConfig config = small();
    config.feed_forward = feed_forward;
    config.moe.num_experts = 0;  // rounding may send a token to another expert
    Models wide(config, Precision::kFloat32);
    InferenceModel narrow(int8_weights(wide.model));
    CachedDecoder quantized(narrow, inputs()), exact(*wide.cached, inputs());
    EXPECT_LT(largest_gap(quantized, exact, inputs().size()), 0.3);
  }
}

TEST(CachedDecoder, Int8RunsEveryKindOfModel) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    Models models(kind, Precision::kFloat32);
    InferenceModel narrow(int8_weights(models.model));
    CachedDecoder quantized(narrow, inputs()), exact(*models.cached, inputs());
    double gap = 0, count = 0;  // some tokens take another expert: not most
    for (const StepRows& rows : made_up_steps(inputs().size())) {
      gap += (quantized.step(rows) - exact.step(rows)).abs().mean().item<double>();
      ++count;
    }
    EXPECT_LT(gap / count, 0.15);
  }
}

template <class Rows>
void expect_equal(const Rows& a, const Rows& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].ids, b[i].ids);
    EXPECT_NEAR(a[i].score, b[i].score, 1e-4);
  }
}

TEST(CachedDecoder, WritesTheSameIds) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    Models models(kind, Precision::kFloat32);
    const Inputs given = inputs(kind.padding_within);
    ModelStepDecoder plain(models.model, given);
    CachedDecoder cached(*models.cached, given);
    expect_equal(greedy_decode(cached, 24), greedy_decode(plain, 24));
    ModelStepDecoder plain_beams(models.model, given);
    CachedDecoder cached_beams(*models.cached, given);
    BeamSearchOptions options;
    options.max_new_tokens = 18;
    options.num_beams = options.num_return = 3;
    const auto ours = beam_search(cached_beams, options);
    const auto theirs = beam_search(plain_beams, options);
    for (size_t i = 0; i < ours.size(); ++i) expect_equal(ours[i], theirs[i]);
  }
}

void expect_rows_by_themselves(InferenceModel& model) {
  CachedDecoder together(model, inputs());
  const auto all = greedy_decode(together, 30);
  for (size_t i = 0; i < inputs().size(); ++i) {
    CachedDecoder alone(model, {inputs()[i]});
    const auto one = greedy_decode(alone, 30);
    EXPECT_EQ(one[0].ids, all[i].ids);
    EXPECT_EQ(one[0].log_prob, all[i].log_prob);
  }
}

TEST(CachedDecoder, RowsDoNotDependOnTheBatch) {
  ModelConfig config = small();
  config.moe.capacity = "profile";  // would bind in a batch of one
  config.moe.capacity_factor_eval = 0.01;
  for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16Selective}) {
    Models models(config, precision);
    expect_rows_by_themselves(*models.cached);
  }
  Models models(config, Precision::kFloat32);
  InferenceModel int8(int8_weights(models.model));
  expect_rows_by_themselves(int8);
}

TEST(CachedDecoder, RefusesRoutersThatChooseByTheBatch) {
  ModelConfig config = small();
  config.moe.router = "top2";
  config.moe.second_choice = "random";
  EncoderDecoder model(config, Precision::kFloat32);
  EXPECT_EQ(testing::error_of([&] { InferenceModel cached(weights_of(model)); }).what_part(),
            "router \"top2\" with second_choice = \"random\" chooses by what else is in the batch");
}

TEST(CachedDecoder, RefusesPrecisionsItDoesNotKnow) {
  EncoderDecoder model(small(), Precision::kBfloat16);
  EXPECT_EQ(testing::error_of([&] { weights_of(model); }).kind(), ErrorKind::kUsage);
}

TEST(CachedDecoder, NamesWeightsThatAreNotFinite) {
  Models models(small(), Precision::kFloat32);
  models.model.parameters().find("shared.weight")->value().detach()[5][3] = NAN;
  CachedDecoder decoder(*models.cached, {{4, 1}});
  StepRows rows;
  rows.add(0, kDecoderStartId);
  EXPECT_EQ(testing::error_of([&] { decoder.step(rows); }).kind(), ErrorKind::kRuntime);
}

TEST(InferenceModel, CountsTheTokensOfEachExpert) {
  Models models(small(), Precision::kFloat32);
  CachedDecoder decoder(*models.cached, inputs());
  greedy_decode(decoder, 1);
  const auto use = models.cached->expert_use();
  ASSERT_EQ(use.size(), 3u);  // encoder.1, decoder.1, decoder.3
  EXPECT_EQ(use[0].layer, "encoder.1");
  EXPECT_EQ(use[2].layer, "decoder.3");
  const auto total = [](const ExpertUse& layer) {
    return std::accumulate(layer.tokens.begin(), layer.tokens.end(), int64_t{0});
  };
  EXPECT_EQ(total(use[0]), 9 - 2 + 1 + 40 + 17 + 16);
  EXPECT_EQ(total(use[1]), 5);
}

TEST(InferenceModel, KnowsTheBytesOfAStep) {
  Models models(small(), Precision::kBfloat16Selective);
  const int64_t attention = 2 * 4 * 24 * 24 - 2 * 24 * 24;  // keys and values of one are cached
  const int64_t feed_forward = 2 * 24 * 40;
  EXPECT_EQ(models.cached->bytes_per_step(),
            2 * (kVocabulary * 24 + 4 * (attention + feed_forward)) + 2 * 4 * 4 * 24);
}

}  // namespace
}  // namespace switchyard
