// Loss spikes by a robust z-score.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace switchyard {

struct Spike {
  double score = 0;   // (loss - median) / (1.4826 MAD)
  double median = 0;  // of the losses before
};

/// Holds `loss` against `losses`, the newest last, and adds it; at most `window` are kept. A spike
/// where its score is above `threshold`, once half a window is there. The deviation is at least a
/// thousandth of the median, so that a flat curve makes no spikes of noise.
std::optional<Spike> watch_loss(std::vector<double>& losses, double loss, int64_t window,
                                double threshold);

}  // namespace switchyard
