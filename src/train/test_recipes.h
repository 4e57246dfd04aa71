// A recipe of a small model that uses everything that is random, for the tests of training steps.
#pragma once

#include "train/recipe.h"

namespace switchyard::testing {

inline Recipe small_recipe() {
  Recipe recipe;
  ModelConfig& model = recipe.model;
  model.d_model = 32;
  model.d_ff = 48;
  model.d_kv = 8;
  model.num_heads = 4;
  model.num_encoder_layers = 2;
  model.num_decoder_layers = 2;
  model.vocab_size = 100;
  model.moe.num_experts = 4;
  model.moe.group_sequences = 2;
  model.moe.z_loss = 0.01;
  model.init_scale = 1.0;
  model.dropout = 0.1;
  recipe.objective.logit_z_loss = 1e-3;
  recipe.train.batch_sequences = 8;
  recipe.train.precision = "fp32";
  recipe.optimizer.learning_rate = 0.05;
  recipe.optimizer.warmup_steps = 10;
  return recipe;
}

}  // namespace switchyard::testing
