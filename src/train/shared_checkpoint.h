// Checkpoints of a model that the ranks of a mesh hold together. The directory is that of any other
// checkpoint and says nothing of the mesh: each rank along `expert` writes files with the experts
// that it has, each rank that keeps a share of the optimizer's state that share; the parts of a
// matrix are put together first.
#pragma once

#include <string>

#include "train/checkpoint.h"

namespace switchyard {

/// As save_checkpoint(), by all ranks of the model's mesh; nothing is there until all have written.
/// Collective. A matrix is put together in one rank's memory, one at a time. `wait_seconds`: for
/// the slowest writer. Throws Error if a rank cannot write; what was written by then is removed.
void save_shared_checkpoint(const std::string& directory, const EncoderDecoder& model,
                            Optimizer& optimizer, const TrainPosition& position,
                            const CheckpointOptions& options, double wait_seconds);

}  // namespace switchyard
