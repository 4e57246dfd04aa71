// What a server takes from its clients.
#pragma once

#include <cstdint>

namespace switchyard {

/// Of one request. Going beyond any of them is a mistake of the client, told by field.
struct RequestLimits {
  int64_t vocab_size = 0;
  int64_t input_tokens = 4096;  // of an input or a target, EOS counted
  int64_t output_tokens = 1024;
  int64_t choices = 64;  // inputs times outputs of each
};

constexpr int64_t kMaxStops = 16;
constexpr int64_t kMaxStopBytes = 1024;
constexpr int64_t kMaxLogProbs = 20;  // alternatives shown of an id

}  // namespace switchyard
