// What decoding makes of one input.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard {

struct Generation {
  std::vector<int32_t> ids;  // without the start id and EOS
  double log_prob = 0;       // sum over the ids and, if it was reached, EOS; nats
  double score = 0;          // what n-best lists are ordered by: log_prob, or in beam search
                             // log_prob / length^length_penalty
  bool finished = false;     // ended with EOS

  /// Ids generated, EOS counted.
  int64_t length() const { return static_cast<int64_t>(ids.size()) + (finished ? 1 : 0); }
};

}  // namespace switchyard
