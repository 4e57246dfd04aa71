// What shapes one output whatever the way of decoding. Names and meanings are those of transformers
// 4.57.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace switchyard {

struct OutputOptions {
  /// Ids that the output begins with. They are part of it, but have no log-probability and do not
  /// count as new.
  std::vector<int32_t> prefix;
  /// Scores of ids that the output has, the start id among them, are divided by this where they are
  /// positive and else multiplied. Scores are logits, in beam search log-probabilities. > 0.
  double repetition_penalty = 1.0;
  /// No sequence of so many ids comes twice; the start id counts as the first. 0: no limit.
  int64_t no_repeat_ngram = 0;
  /// Called with the output's ids after each that is not EOS; true ends it there. May be empty.
  std::function<bool(const std::vector<int32_t>& ids)> stop;

  bool changes_scores() const { return repetition_penalty != 1.0 || no_repeat_ngram > 0; }
};

/// An id as it is written, for those who show outputs while they grow.
struct WrittenId {
  size_t input, draw;  // draw: 0 in greedy decoding
  int64_t id;          // EOS too
  double log_prob;
  bool last;  // of its output
};
using IdListener = std::function<void(const WrittenId&)>;

/// Applies both limits of repetition to the scores of all ids. `ids`: the output so far behind its
/// start id. What must not come gets -infinity.
void limit_repetition(std::span<float> scores, std::span<const int32_t> ids,
                      const OutputOptions& options);

}  // namespace switchyard
