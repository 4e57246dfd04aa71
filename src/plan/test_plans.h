// Small recipes that tests plan for.
#pragma once

#include "plan/plan.h"

namespace switchyard::testing {

/// 8 experts, 4 heads of 16, d_ff 128, 2 + 2 blocks, 16 sequences of 64/14 tokens.
inline Recipe planned_recipe() {
  Recipe recipe;
  recipe.model.d_model = 64;
  recipe.model.d_ff = 128;
  recipe.model.d_kv = 16;
  recipe.model.num_heads = 4;
  recipe.model.num_encoder_layers = recipe.model.num_decoder_layers = 2;
  recipe.model.vocab_size = 500;
  recipe.model.moe.num_experts = 8;
  recipe.model.moe.group_sequences = 4;
  recipe.data.input_length = 64;
  recipe.train.batch_sequences = 16;
  return recipe;
}

inline PlanRequest planned_request(const MeshConfig& mesh = {}) {
  const Recipe recipe = planned_recipe();
  return {recipe, mesh, load_machine("cpu_cluster"), step_options(recipe)};
}

}  // namespace switchyard::testing
