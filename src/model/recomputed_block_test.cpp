// Training with and without recomputation of blocks must give the same bits.
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function.h>

#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "model/encoder_decoder.h"
#include "tests/gradient_check.h"
#include "tests/made_up_ids.h"
#include "tests/memory_count.h"

namespace switchyard {
namespace {

ModelConfig small_config() {
  ModelConfig config;
  config.d_model = 24;
  config.d_ff = 40;
  config.d_kv = 8;
  config.num_heads = 3;
  config.num_encoder_layers = 4;
  config.num_decoder_layers = 4;
  config.vocab_size = 61;
  config.init_scale = 1.0;
  config.dropout = 0.1;
  config.moe.num_experts = 4;
  config.moe.group_sequences = 2;
  config.moe.jitter = 0.1;
  config.moe.z_loss = 0.1;
  config.moe.balance_loss = 0.1;
  config.moe.expert_dropout = 0.2;
  return config;
}

at::Tensor ids(int64_t rows, int64_t columns, uint64_t seed) {
  return testing::made_up_ids(rows, columns, 61, seed);
}

/// Sequences [first, first + 2) of a batch of four, one of which is padded.
Batch micro_batch(int64_t first) {
  at::Tensor encoder = ids(4, 19, 1), targets = ids(4, 7, 2);
  encoder[1].narrow(0, 12, 7).zero_();
  targets[1].narrow(0, 4, 3).zero_();
  Batch batch = make_batch(encoder.narrow(0, first, 2), targets.narrow(0, first, 2));
  batch.first_sequence = first;
  return batch;
}

ForwardOptions training(bool recompute) {
  ForwardOptions options;
  options.training = true;
  options.step = 3;
  options.logit_z_loss = 1e-3;
  options.recompute = recompute;
  return options;
}

struct Gradients {
  std::vector<at::Tensor> losses, gradients;
  std::vector<std::optional<double>> squares;
  std::vector<RoutingStats> routing;
};

/// Of two micro-batches.
Gradients gradients_of(EncoderDecoder& model, bool recompute) {
  model.parameters().clear_gradients();
  Gradients result;
  for (const int64_t first : {0, 2}) {
    ModelOutput output = model.forward(micro_batch(first), training(recompute));
    (output.loss_sum / 25 + output.auxiliary * 0.5).backward();
    result.losses.push_back(output.loss_sum.detach());
    result.losses.push_back(output.auxiliary.detach());
    accumulate(result.routing, output.routing);
  }
  for (const Parameter& p : model.parameters().all()) {
    result.gradients.push_back(p.gradient().defined() ? p.gradient().clone() : at::Tensor());
    result.squares.push_back(p.gradient_squares());
  }
  return result;
}

using Change = std::function<void(ModelConfig&)>;
struct Case {
  const char* name;
  Change change;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class RecomputedBlock : public ::testing::TestWithParam<std::tuple<Case, Precision>> {};

TEST_P(RecomputedBlock, GivesTheSameBits) {
  ModelConfig config = small_config();
  std::get<0>(GetParam()).change(config);
  EncoderDecoder model(config, std::get<1>(GetParam()));
  model.parameters().initialize(3);
  const Gradients plain = gradients_of(model, false), again = gradients_of(model, true);
  for (size_t i = 0; i < plain.losses.size(); ++i) {
    EXPECT_TRUE(at::equal(plain.losses[i], again.losses[i])) << "loss " << i;
  }
  size_t index = 0;
  for (const Parameter& p : model.parameters().all()) {
    const size_t i = index++;
    ASSERT_EQ(plain.gradients[i].defined(), again.gradients[i].defined()) << p.name();
    EXPECT_EQ(plain.squares[i], again.squares[i]) << p.name();
    if (!plain.gradients[i].defined()) continue;
    EXPECT_TRUE(at::equal(plain.gradients[i], again.gradients[i])) << p.name();
    EXPECT_TRUE(plain.gradients[i].isfinite().all().item<bool>()) << p.name();
  }
  ASSERT_EQ(plain.routing.size(), again.routing.size());
  for (size_t i = 0; i < plain.routing.size(); ++i) {
    const RoutingStats &a = plain.routing[i], &b = again.routing[i];
    EXPECT_EQ(a.layer, b.layer);
    EXPECT_EQ(b.calls, 2) << b.layer;  // two micro-batches, each counted once
    EXPECT_EQ(a.tokens, b.tokens) << b.layer;
    EXPECT_EQ(a.dropped, b.dropped) << b.layer;
    EXPECT_EQ(a.load, b.load) << b.layer;
    EXPECT_EQ(a.balance, b.balance) << b.layer;
  }
}

const Case kCases[] = {
    {"dense", [](ModelConfig& c) { c.moe.num_experts = 0; }},
    {"switch", [](ModelConfig&) {}},
    {"every_block", [](ModelConfig& c) { c.moe.sparse_every = 1; }},
    {"sampling", [](ModelConfig& c) { c.moe.exploration = "sample"; }},
    {"input_dropout", [](ModelConfig& c) { c.moe.exploration = "input_dropout"; }},
    {"t5_1_1",
     [](ModelConfig& c) {
       c.feed_forward = "geglu";
       c.tie_embeddings = false;
     }},
    {"attention_experts", [](ModelConfig& c) { c.moe.attention_experts = "feed_forward"; }},
    {"linear_attention_experts",
     [](ModelConfig& c) {
       c.moe.attention_experts = "linear";
       c.moe.attention_encoder_layers = c.moe.attention_decoder_layers = "0,3";
     }},
    {"pooled_losses", [](ModelConfig& c) { c.moe.profile = "hf"; }},
    {"mean_of_layers_top2",
     [](ModelConfig& c) {
       c.moe.profile = "t5x";
       c.moe.router = "top2";
     }},
    {"no_balance_loss",
     [](ModelConfig& c) {
       c.moe.router = "hash";
       c.moe.z_loss = 0;
     }},
};

std::string name_of(const ::testing::TestParamInfo<std::tuple<Case, Precision>>& test) {
  const auto& [model, precision] = test.param;
  const char* const type = precision == Precision::kFloat32   ? "_fp32"
                           : precision == Precision::kFloat64 ? "_fp64"
                                                              : "_bf16_selective";
  return std::string(model.name) + type;
}

INSTANTIATE_TEST_SUITE_P(Models, RecomputedBlock,
                         ::testing::Combine(::testing::ValuesIn(kCases),
                                            ::testing::Values(Precision::kFloat32,
                                                              Precision::kBfloat16Selective,
                                                              Precision::kFloat64)),
                         name_of);

// The router's losses must reach the router: without one, its gradient is another.
TEST(RecomputedBlockLosses, EachReachesTheRouter) {
  const auto router_gradient = [](double balance, double router_z) {
    ModelConfig config = small_config();
    config.moe.balance_loss = balance;
    config.moe.z_loss = router_z;
    EncoderDecoder model(config, Precision::kFloat32);
    model.parameters().initialize(3);
    gradients_of(model, true);
    return model.parameters()
        .find("encoder.block.1.layer.1.mlp.router.classifier.weight")
        ->gradient()
        .clone();
  };
  const at::Tensor both = router_gradient(0.1, 0.1);
  EXPECT_FALSE(at::allclose(both, router_gradient(0, 0.1)));
  EXPECT_FALSE(at::allclose(both, router_gradient(0.1, 0)));
}

size_t count_nodes(const at::Tensor& loss) {
  std::unordered_set<torch::autograd::Node*> seen;
  std::vector<torch::autograd::Node*> open = {loss.grad_fn().get()};
  while (!open.empty()) {
    torch::autograd::Node* const node = open.back();
    open.pop_back();
    if (!node || !seen.insert(node).second) continue;
    for (const auto& edge : node->next_edges()) open.push_back(edge.function.get());
  }
  return seen.size();
}

TEST(RecomputedBlockGraph, IsForTrainingOnly) {
  EncoderDecoder model(small_config(), Precision::kFloat32);
  model.parameters().initialize(3);
  const auto nodes = [&](bool is_training, bool recompute) {
    ForwardOptions options = training(recompute);
    options.training = is_training;
    return count_nodes(model.forward(micro_batch(0), options).loss_sum);
  };
  EXPECT_EQ(nodes(false, true), nodes(false, false));
  EXPECT_LT(nodes(true, true), nodes(true, false) / 3);
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(model.forward(micro_batch(0), training(true)).loss_sum.requires_grad());
}

// 4 + 4 blocks. What stays of one is its input; in backward one block at a time is whole.
TEST(RecomputedBlockGraph, TakesLessMemory) {
  ModelConfig config = small_config();
  config.d_model = 64;
  config.d_ff = 256;
  EncoderDecoder model(config, Precision::kFloat32);
  model.parameters().initialize(3);
  const Batch batch = make_batch(ids(4, 128, 1), ids(4, 128, 2));
  const auto backward = [](const ModelOutput& output) {
    (output.loss_sum + output.auxiliary).backward();
  };
  backward(model.forward(batch, training(false)));  // gradients get their memory
  int64_t after_forward[2], peak[2];
  for (const bool recompute : {false, true}) {
    const testing::MemoryCount count;
    const ModelOutput output = model.forward(batch, training(recompute));
    after_forward[recompute] = count.live();
    backward(output);
    peak[recompute] = count.peak();
  }
  EXPECT_LT(after_forward[1] * 4, after_forward[0]);
  EXPECT_LT(peak[1] * 2, peak[0]);
}

}  // namespace
}  // namespace switchyard
