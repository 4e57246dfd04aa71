// How a model is to answer, whoever asks it.
#pragma once

#include <cstdint>

namespace switchyard {

struct EngineOptions {
  /// Most bytes of experts' mapped weights that this process holds in memory; 0: no bound. Never
  /// changes what is computed. See expert_memory.h.
  int64_t expert_memory = 0;
};

}  // namespace switchyard
