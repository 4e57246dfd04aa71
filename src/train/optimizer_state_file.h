// The optimizer's state in a checkpoint's files, whatever the mesh that wrote it: a tensor under
// its name, or, where ranks have written the experts that they had, several named NAME[begin:end].
#pragma once

#include <string>

#include "checkpoint/tensor_files.h"
#include "train/optimizer.h"

namespace switchyard {

constexpr const char* kOptimizerStem = "optimizer";

/// The name of what this rank writes of a tensor.
std::string stored_name(const OptimizerTensor& tensor);

/// Reads this rank's part of every tensor of the optimizer's state. Throws Error(kDamaged) if the
/// files hold anything else than the whole state of such an optimizer.
void read_optimizer_state(const TensorFiles& files, Optimizer& optimizer);

}  // namespace switchyard
