// The best mesh for a number of ranks under a limit of memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace switchyard {

struct SearchOptions {
  int64_t ranks = 1;
  double memory_limit = 0;  // bytes of a rank; 0: the machine's, if known
};

struct FoundMesh {
  MeshConfig mesh;
  int64_t micro = 0;  // sequences of a forward pass
  bool recompute = false, shard_optimizer = false;
  double peak_memory = 0, step_seconds = 0, tokens_per_second = 0;
};

struct SearchResult {
  std::vector<FoundMesh> fitting;  // fastest first
  int64_t tried = 0;
  FoundMesh smallest;   // in memory, for when nothing fits; micro = 0: no mesh divides at all
  std::string refused;  // why the last mesh that does not divide was refused
};

/// Tries every mesh that divides, forward passes of the rank's sequences halved until they are one
/// or as `train.micro_batch_sequences` has them, with and without recomputation, and with the
/// optimizer's state shared where there are replicas. Of settings of one mesh the fastest that
/// fits.
SearchResult search_meshes(const PlanRequest& request, const SearchOptions& options);

}  // namespace switchyard
