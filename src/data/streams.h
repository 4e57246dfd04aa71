// Training and evaluation sequences as pure functions of their number: no state, so a position is
// one integer and any batch can be made at once, on any thread or machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/config.h"
#include "data/mixture.h"
#include "data/prepared_data.h"
#include "data/prepared_folders.h"
#include "data/sequence_stream.h"
#include "data/span_corruption.h"

namespace switchyard {

/// Turns windows of a token stream into rows of a batch. Thread-safe.
class SpanCorrupter {
 public:
  SpanCorrupter(const DataConfig& config, int32_t vocab_size, uint64_t seed);

  const SpanLengths& lengths() const { return lengths_; }
  SequenceLengths row_lengths() const { return {lengths_.inputs, lengths_.targets}; }

  /// Corrupts `raw` [lengths().raw] with the mask of sequence `number` and appends one row to
  /// `batch`, EOS included.
  void add_row(std::span<const int32_t> raw, uint64_t number, TokenBatch& batch) const;

 private:
  double noise_density_, mean_span_length_;
  SpanLengths lengths_;
  int32_t first_sentinel_;
  uint64_t seed_;
};

/// Training sequences without end. Each epoch cuts every source's whole stream into windows, from
/// a start that changes by epoch, and visits them in an order of its own; documents follow one
/// another without a mark (T5's recipe). A source's share of the sequences is its weight times its
/// tokens to the power of config.size_exponent. With on_damage = "skip" a sequence that lies in a
/// damaged piece gives its place to the next sound one in the order of the epoch. All const
/// functions are thread-safe.
class TrainingStream : public SequenceStream {
 public:
  /// Opens config.train. Throws Error(kUsage) if there is none, if sources differ in tokenizer, or
  /// if one is shorter than a sequence.
  TrainingStream(const DataConfig& config, uint64_t seed);

  /// Sequences [first, first + count).
  TokenBatch batch(uint64_t first, int64_t count) const override;
  SequenceLengths lengths() const override { return corrupter_.row_lengths(); }
  std::string fingerprint() const override;
  uint64_t damaged_pieces() const override;

  int32_t vocab_size() const { return sources_.front().vocab_size(); }
  const std::string& tokenizer_hash() const { return sources_.front().tokenizer_hash(); }
  std::string tokenizer_path() const { return sources_.front().tokenizer_path(); }
  const std::vector<PreparedData>& sources() const { return sources_; }
  /// Sequences in one pass over source k.
  uint64_t sequences_per_epoch(size_t k) const;

 private:
  void copy_window(size_t source, uint64_t index, int32_t* raw) const;

  std::vector<PreparedSource> named_;
  std::vector<PreparedData> sources_;
  bool skip_damage_;
  uint64_t seed_;
  SpanCorrupter corrupter_;
  MixtureSchedule mixture_;
};

/// Held-out sequences: always the same ones with the same masks, in the same order, whatever the
/// training seed. The first N are spread over the whole data, so that a short evaluation is a fair
/// sample of a long one. on_damage as in training. All const functions are thread-safe.
class EvaluationStream : public HeldOutStream {
 public:
  /// `folder`: prepared data. `max_sequences`: 0 for all. Throws Error(kUsage) if the data does not
  /// fill one sequence.
  EvaluationStream(const DataConfig& config, const std::string& folder, uint64_t max_sequences = 0);

  uint64_t num_sequences() const override { return num_sequences_; }
  TokenBatch batch(uint64_t first, int64_t count) const override;
  SequenceLengths lengths() const override { return corrupter_.row_lengths(); }

  int32_t vocab_size() const { return data_.vocab_size(); }
  const std::string& tokenizer_hash() const { return data_.tokenizer_hash(); }
  std::string tokenizer_path() const { return data_.tokenizer_path(); }
  const PreparedData& data() const { return data_; }

 private:
  uint64_t window_of(uint64_t sequence) const;

  PreparedData data_;
  bool skip_damage_;
  SpanCorrupter corrupter_;
  uint64_t num_windows_ = 0, num_sequences_ = 0;
};

}  // namespace switchyard
