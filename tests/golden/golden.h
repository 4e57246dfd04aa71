// The tiny models of tests/golden/data with what transformers 4.57.6 computes with them
// (tools/make_golden.py), as a test parameterized by the model's folder.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "model/batch.h"
#include "model/model_directory.h"
#include "train/recipe.h"

namespace switchyard::testing {

inline std::string golden_folder(const std::string& name) {
  return SWITCHYARD_SOURCE_DIR "/tests/golden/data/" + name;
}

/// A copy of a stored tensor.
inline at::Tensor golden_tensor(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* entry = file.find(name);
  TORCH_CHECK(entry, name, " is not among the golden numbers");
  const bool ids = entry->spec.dtype == DType::kI64;
  const at::Tensor tensor = at::empty(entry->spec.shape, ids ? at::kLong : at::kFloat);
  std::memcpy(tensor.mutable_data_ptr(), file.data(*entry).data(), tensor.nbytes());
  return tensor;
}

/// The optimizers' settings in tools/tiny_training.py.
inline Recipe golden_recipe(const std::string& kind, int64_t steps) {
  Recipe recipe;
  recipe.train.steps = steps;
  OptimizerConfig& optimizer = recipe.optimizer;
  optimizer.kind = kind;
  optimizer.schedule = "constant";
  optimizer.warmup_steps = 0;
  optimizer.learning_rate = 0.01;
  if (kind == "adamw") {
    optimizer.beta2 = 0.99;
    optimizer.weight_decay = 0.1;
  } else {
    optimizer.min_dim_factored = 1;  // as transformers, which factors every matrix
  }
  return recipe;
}

class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  Golden()
      : directory_(golden_folder(GetParam())), expected_(directory_ + "/expected.safetensors") {}

  at::Tensor expected(const std::string& name) const { return golden_tensor(expected_, name); }

  std::unique_ptr<EncoderDecoder> model() const {
    return load_model(directory_, Precision::kFloat32);
  }
  /// With padding at the ends of rows, and without.
  Batch batch() const { return make_batch(expected("input_ids"), expected("labels")); }
  Batch full_batch() const {
    return make_batch(expected("full_input_ids"), expected("full_labels"));
  }

  std::string directory_;
  SafetensorsFile expected_;
};

/// Largest difference, relative to the largest value.
inline double difference(const at::Tensor& ours, const at::Tensor& theirs) {
  const at::Tensor gap = (ours.to(at::kDouble) - theirs.to(at::kDouble)).abs().max();
  return gap.item<double>() / std::max(1e-30, theirs.abs().max().item<double>());
}

inline const auto kGoldenModels =
    ::testing::Values("t5_1_0", "t5_1_1", "switch_every_block", "switch_every_second",
                      "switch_uneven", "switch_bf16");

inline const auto kGoldenSwitchModels =
    ::testing::Values("switch_every_block", "switch_every_second", "switch_uneven", "switch_bf16");

inline std::string golden_name(const ::testing::TestParamInfo<const char*>& model) {
  return model.param;
}

}  // namespace switchyard::testing
