// What a forward pass depends on besides weights and batch.
#pragma once

#include <cstdint>

namespace switchyard {

namespace ops {
struct SoftTargets;
}

/// Random numbers are keyed by (seed, step, layer, global token), never by a hidden state.
struct ForwardOptions {
  bool training = false;  // dropout, jitter and the training capacity factor
  uint64_t seed = 1;
  uint64_t step = 0;
  double logit_z_loss = 0.0;  // factor of the vocabulary's (log Z)^2 in the loss
  const ops::SoftTargets* soft_targets = nullptr;  // of the same batch: distillation
  bool recompute = false;     // in training: a block keeps its inputs and runs again in backward
  bool keep_choices = false;  // routing statistics keep each token's first choice
};

}  // namespace switchyard
