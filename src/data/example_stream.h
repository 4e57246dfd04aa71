// Examples of tasks as training and evaluation sequences.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/example_rows.h"
#include "data/mixture.h"
#include "data/sequence_stream.h"

namespace switchyard {

/// Examples and their share of the examples trained on.
struct ExampleSource {
  ExampleIds examples;  // at least one
  double weight = 1;    // above 0
};

struct ExampleRowOptions {
  SequenceLengths room;  // of a row; each example fits
  bool pack = true;      // several examples a row; else batches are as long as their longest row
  uint64_t seed = 1;
  int64_t batch_rows = 1;  // of a batch: those that share a width if they are not packed
};

/// The examples of one row.
struct RowOfExamples {
  const ExampleIds* from;
  std::vector<uint32_t> examples;
};

/// A mixture without end: each source goes through epochs of its own. Packed rows all have one
/// shape; others are as long as the longest of the batch of batch_rows that they belong to,
/// whatever part of it is asked for, rounded up to a multiple of 32.
class ExampleStream : public SequenceStream {
 public:
  ExampleStream(std::vector<ExampleSource> sources, const ExampleRowOptions& options);

  TokenBatch batch(uint64_t first, int64_t count) const override;
  SequenceLengths lengths() const override { return options_.room; }
  std::string fingerprint() const override { return fingerprint_; }
  /// Examples of all sources.
  uint64_t num_examples() const;
  /// Of a row, over the mixture.
  double examples_per_row() const;

 private:
  RowOfExamples row(uint64_t number) const;
  SequenceLengths width(uint64_t first, uint64_t end) const;

  ExampleRowOptions options_;
  std::vector<std::unique_ptr<ExampleRows>> sources_;
  std::vector<double> shares_;  // of rows
  std::unique_ptr<MixtureSchedule> mixture_;
  std::string fingerprint_;
};

/// Every example once, in order, packed or not as in training. All rows have one width.
class HeldOutExamples : public HeldOutStream {
 public:
  HeldOutExamples(ExampleIds examples, const ExampleRowOptions& options);

  uint64_t num_sequences() const override { return rows_.size(); }
  TokenBatch batch(uint64_t first, int64_t count) const override;
  SequenceLengths lengths() const override { return lengths_; }

 private:
  std::vector<RowOfExamples> rows(uint64_t first, uint64_t end) const;

  ExampleIds examples_;
  PackedRows rows_;
  SequenceLengths lengths_;
};

}  // namespace switchyard
