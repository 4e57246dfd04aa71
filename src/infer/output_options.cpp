#include "infer/output_options.h"

#include <algorithm>
#include <limits>
#include <unordered_set>

namespace switchyard {

void limit_repetition(std::span<float> scores, std::span<const int32_t> ids,
                      const OutputOptions& options) {
  if (options.repetition_penalty != 1.0) {
    const auto penalty = static_cast<float>(options.repetition_penalty);
    for (const int32_t id : std::unordered_set<int32_t>(ids.begin(), ids.end())) {
      float& score = scores[static_cast<size_t>(id)];
      score = score < 0 ? score * penalty : score / penalty;
    }
  }
  const auto length = static_cast<size_t>(options.no_repeat_ngram);
  if (length == 0 || ids.size() + 1 < length) return;
  const std::span<const int32_t> last = ids.last(length - 1);
  for (size_t begin = 0; begin + length <= ids.size(); ++begin) {
    const auto ngram = ids.subspan(begin, length);
    if (!std::equal(last.begin(), last.end(), ngram.begin())) continue;
    scores[static_cast<size_t>(ngram.back())] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace switchyard
