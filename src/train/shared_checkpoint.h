// Checkpoints of a model that the ranks of a mesh hold together. The directory is that of any other
// checkpoint and says nothing of the mesh: each rank along `expert` writes files with the experts
// that it has, each rank that keeps a share of the optimizer's state that share; the parts of a
// matrix are put together first.
#pragma once

#include <string>

#include "train/checkpoint.h"

namespace switchyard {

/// As save_checkpoint(), by all ranks of the model's mesh; nothing is there until all have written.
/// Collective. No tensor is put together in more than one rank's memory, one at a time. Throws
/// Error of a rank that cannot write; the others then wait for it in vain.
void save_shared_checkpoint(const std::string& directory, const EncoderDecoder& model,
                            Optimizer& optimizer, const TrainPosition& position,
                            const CheckpointOptions& options);

}  // namespace switchyard
