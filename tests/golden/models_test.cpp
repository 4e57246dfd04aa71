// Tiny models that transformers 4.57.6 saved, and what it computes with them
// (tools/make_golden.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/format.h"
#include "checkpoint/safetensors.h"
#include "infer/greedy.h"
#include "model/model_directory.h"
#include "model/weight_names.h"

namespace switchyard {
namespace {

const std::string kData = SWITCHYARD_SOURCE_DIR "/tests/golden/data/";

class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  Golden() : directory_(kData + GetParam()), expected_(directory_ + "/expected.safetensors") {}

  at::Tensor expected(const std::string& name) const {
    const TensorEntry* entry = expected_.find(name);
    TORCH_CHECK(entry, name, " is not among the golden numbers");
    const bool ids = entry->spec.dtype == DType::kI64;
    const at::Tensor tensor = at::empty(entry->spec.shape, ids ? at::kLong : at::kFloat);
    std::memcpy(tensor.mutable_data_ptr(), expected_.data(*entry).data(), tensor.nbytes());
    return tensor;
  }

  Batch batch() const { return make_batch(expected("input_ids"), expected("labels")); }

  std::string directory_;
  SafetensorsFile expected_;
};

/// Largest difference, relative to the largest value.
double difference(const at::Tensor& ours, const at::Tensor& theirs) {
  const at::Tensor gap = (ours.to(at::kDouble) - theirs.to(at::kDouble)).abs().max();
  return gap.item<double>() / std::max(1e-30, theirs.abs().max().item<double>());
}

at::Tensor logits(EncoderDecoder& model, const Batch& batch) {
  const c10::NoGradGuard no_grad;
  return model.logits(model.decode(batch, model.encode(batch, {}), {}));
}

TEST_P(Golden, Logits) {
  const auto model = load_model(directory_, Precision::kFloat32);
  const Batch input = batch();
  // Where the target is padding the two differ in what they hide, and nobody looks.
  const at::Tensor real = input.targets.gt(0).unsqueeze(-1);
  EXPECT_LT(difference(logits(*model, input) * real, expected("logits") * real), 1e-5);
}

// In bfloat16 with a float32 router. A product's rounding is 2^-9; the largest difference seen
// is 1.4 %.
TEST_P(Golden, LogitsInBfloat16) {
  if (std::string(GetParam()) == "switch_uneven") {
    GTEST_SKIP() << "a token between two experts changes sides: another function, not rounding";
  }
  const auto model = load_model(directory_, Precision::kBfloat16Selective);
  const Batch input = batch();
  const at::Tensor real = input.targets.gt(0).unsqueeze(-1);
  EXPECT_LT(difference(logits(*model, input) * real, expected("logits") * real), 0.03);
}

TEST_P(Golden, LossAndEveryGradient) {
  const auto model = load_model(directory_, Precision::kFloat32);
  const ModelConfig& config = model->config();
  const ModelOutput output = model->forward(batch(), {});
  const at::Tensor loss = output.loss_sum / output.cross_entropy.count;
  EXPECT_LT(difference(loss.detach(), expected("loss")), 1e-5);
  loss.backward();
  size_t compared = 0;
  for (const Parameter& parameter : model->parameters().all()) {
    const at::Tensor gradient = parameter.gradient().defined()
                                    ? parameter.gradient()
                                    : at::zeros_like(parameter.value().detach());
    for (const WeightPart& part :
         weight_parts(parameter, config.gated(), config.moe.num_experts == 0)) {
      const at::Tensor own = gradient.view(-1).narrow(0, part.begin, part.numel).view(part.shape);
      if (!expected_.find("gradient." + part.name)) {
        // An expert that no token chose.
        EXPECT_EQ(own.abs().max().item<float>(), 0.0f) << part.name;
        continue;
      }
      EXPECT_LT(difference(own, expected("gradient." + part.name)), 1e-5) << part.name;
      ++compared;
    }
  }
  EXPECT_EQ(compared, std::count_if(expected_.tensors().begin(), expected_.tensors().end(),
                                    [](const TensorEntry& tensor) {
                                      return tensor.spec.name.starts_with("gradient.");
                                    }));
}

TEST_P(Golden, GreedyIds) {
  const auto model = load_model(directory_, Precision::kFloat32);
  const at::Tensor inputs = expected("input_ids"), ids = expected("greedy_ids");
  std::vector<std::vector<int32_t>> rows;
  for (int64_t r = 0; r < inputs.size(0); ++r) {
    rows.emplace_back();
    for (int64_t i = 0; i < inputs.size(1); ++i) {
      const auto id = inputs[r][i].item<int64_t>();
      if (id != 0) rows.back().push_back(static_cast<int32_t>(id));
    }
  }
  ModelStepDecoder decoder(*model, rows);
  const auto found = greedy_decode(decoder, ids.size(1) - 1);
  for (int64_t r = 0; r < ids.size(0); ++r) {
    std::vector<int32_t> wanted;  // without the start id, to EOS
    for (int64_t i = 1; i < ids.size(1) && ids[r][i].item<int64_t>() != 1; ++i) {
      wanted.push_back(static_cast<int32_t>(ids[r][i].item<int64_t>()));
    }
    EXPECT_EQ(found[static_cast<size_t>(r)].ids, wanted) << "row " << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         ::testing::Values("t5_1_0", "t5_1_1", "switch_every_block",
                                           "switch_every_second", "switch_uneven", "switch_bf16"),
                         [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace switchyard
