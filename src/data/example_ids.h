// Examples of text to text as token ids, in one block of memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/token_batch.h"

namespace switchyard {

/// Not thread-safe while examples are added.
class ExampleIds {
 public:
  /// Ids above 0, EOS at the end of both.
  void add(std::span<const int32_t> input, std::span<const int32_t> target) {
    ids_.insert(ids_.end(), input.begin(), input.end());
    input_ends_.push_back(ids_.size());
    ids_.insert(ids_.end(), target.begin(), target.end());
    ends_.push_back(ids_.size());
  }

  size_t size() const { return ends_.size(); }
  std::span<const int32_t> input(size_t i) const {
    return std::span(ids_).subspan(begin(i), input_ends_[i] - begin(i));
  }
  std::span<const int32_t> target(size_t i) const {
    return std::span(ids_).subspan(input_ends_[i], ends_[i] - input_ends_[i]);
  }
  SequenceLengths lengths(size_t i) const {
    return {static_cast<int64_t>(input(i).size()), static_cast<int64_t>(target(i).size())};
  }
  /// Of everything, for fingerprints.
  uint64_t hash() const;

 private:
  size_t begin(size_t i) const { return i == 0 ? 0 : ends_[i - 1]; }

  std::vector<int32_t> ids_;
  std::vector<uint64_t> input_ends_, ends_;
};

}  // namespace switchyard
