// The mesh of ranks, data x expert x model, and what one rank of it gets of a step.
#pragma once

#include <cstdint>
#include <string>

#include "train/recipe.h"

namespace switchyard {

/// "data=4,expert=8" over `start`: axes that are not named stay. Throws Error(kUsage).
MeshConfig parse_mesh(const std::string& text, MeshConfig start = {});
/// "data 4 x expert 8 x model 1".
std::string mesh_text(const MeshConfig& mesh);
int64_t num_ranks(const MeshConfig& mesh);

/// Sequences of one rank. The batch is split over data and expert ranks; the ranks along `model`
/// compute the same sequences.
struct RankBatch {
  int64_t sequences = 0;      // of a step
  int64_t micro = 0;          // of one forward pass
  int64_t micro_batches = 0;  // sequences / micro
};

/// What divides on the mesh. Throws Error(kUsage) that names both numbers where something does not:
/// the batch over data x expert, the experts over expert, heads and widths over model, the rank's
/// sequences over its micro-batches, routing groups over these.
RankBatch divide_over_mesh(const Recipe& recipe, const MeshConfig& mesh);

}  // namespace switchyard
