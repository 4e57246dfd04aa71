// What decoding makes of one input.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard {

struct Generation {
  std::vector<int32_t> ids;  // without the start id and EOS
  double log_prob = 0;       // the model's own, summed over the new ids and, if reached, EOS; nats
  double score = 0;          // what n-best lists are ordered by: log_prob, or in beam search
                             // log_prob / length^length_penalty
  bool finished = false;     // ended with EOS
  bool stopped = false;      // ended by OutputOptions::stop
  std::vector<double> token_log_probs = {};  // of the new ids and EOS; log_prob is their sum

  /// New ids, EOS counted.
  int64_t length() const { return static_cast<int64_t>(token_log_probs.size()); }
};

}  // namespace switchyard
