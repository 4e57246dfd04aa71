// A training so small that tests can run it thousands of times.
#pragma once

#include <memory>
#include <string>

#include "base/hash.h"
#include "tests/made_up_ids.h"
#include "train/checkpoint.h"
#include "train/train_step.h"

namespace switchyard::testing {

/// A model and an optimizer that take the same steps whoever makes them.
class TinyTraining {
 public:
  explicit TinyTraining(const std::string& optimizer_kind = "adamw")
      : recipe_(make_recipe(optimizer_kind)),
        model_(recipe_.model, Precision::kFloat32),
        optimizer_(make_optimizer(recipe_.optimizer, model_.parameters())) {
    model_.parameters().initialize(1);
  }

  const Recipe& recipe() const { return recipe_; }
  EncoderDecoder& model() { return model_; }
  Optimizer& optimizer() { return *optimizer_; }
  const TrainPosition& position() const { return position_; }
  int64_t step() const { return position_.step; }

  void train_to(int64_t step) {
    while (position_.step < step) {
      const auto seed = static_cast<uint64_t>(position_.step);
      const int64_t rows = recipe_.train.batch_sequences, words = recipe_.model.vocab_size;
      const Batch batch = make_batch(made_up_ids(rows, 5, words, 2 * seed),
                                     made_up_ids(rows, 3, words, 2 * seed + 1));
      position_.window.add(train_step(model_, *optimizer_, batch, recipe_, position_.step + 1));
      ++position_.step;
      position_.next_sequence += rows;
      position_.tokens += rows * 8;
    }
  }

  void load(const std::string& checkpoint) {
    position_ = load_checkpoint(checkpoint, model_, *optimizer_);
  }

  /// Of all that a checkpoint holds.
  std::string digest() {
    const CheckpointContents contents = checkpoint_contents(model_, *optimizer_, position_);
    StreamingHash hash;
    for (const auto& tensor : contents.bytes) hash.add(tensor);
    return to_hex(hash.value()) + contents.state;
  }

 private:
  static Recipe make_recipe(const std::string& optimizer_kind) {
    Recipe recipe;
    recipe.model.d_model = 8;
    recipe.model.d_ff = 12;
    recipe.model.d_kv = 4;
    recipe.model.num_heads = 2;
    recipe.model.num_encoder_layers = recipe.model.num_decoder_layers = 2;
    recipe.model.vocab_size = 29;
    recipe.model.dropout = 0.1;
    recipe.model.moe.num_experts = 3;
    recipe.optimizer.kind = optimizer_kind;
    recipe.optimizer.min_dim_factored = 4;
    recipe.train.batch_sequences = 4;
    recipe.train.precision = "fp32";
    return recipe;
  }

  Recipe recipe_;
  EncoderDecoder model_;
  std::unique_ptr<Optimizer> optimizer_;
  TrainPosition position_;
};

}  // namespace switchyard::testing
