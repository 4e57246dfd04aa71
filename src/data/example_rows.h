// One source of examples as rows, epoch after epoch, each epoch in an order of its own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "data/example_ids.h"
#include "data/example_packing.h"

namespace switchyard {

/// Packed anew in every epoch, so that the same examples do not always meet; how many rows an epoch
/// has differs a little. To seek costs a packing of each epoch before, once. Thread-safe.
class ExampleRows {
 public:
  /// At least one example, each of which fits `room`. Without `pack` every row is one example.
  ExampleRows(ExampleIds examples, const SequenceLengths& room, bool pack, uint64_t seed);

  const ExampleIds& examples() const { return examples_; }
  /// Indices of the examples of row `number`, counted on over the epochs.
  std::vector<uint32_t> row(uint64_t number) const;
  /// Of the first epoch.
  double examples_per_row() const { return examples_per_row_; }

 private:
  std::vector<uint32_t> order(uint64_t epoch) const;
  std::shared_ptr<const PackedRows> plan(uint64_t epoch) const;
  /// Finds the epoch of a row and makes `number` one within it. The lock is held.
  uint64_t find_epoch(uint64_t& number) const;

  ExampleIds examples_;
  std::vector<SequenceLengths> lengths_;
  SequenceLengths room_;
  bool pack_;
  uint64_t seed_;
  double examples_per_row_ = 1;
  mutable std::mutex mutex_;
  mutable std::vector<uint64_t> epoch_ends_;  // rows up to the end of each epoch seen so far
  mutable std::map<uint64_t, std::shared_ptr<const PackedRows>> plans_;  // of the latest epochs
};

}  // namespace switchyard
