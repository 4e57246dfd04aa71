#include "data/example_stream.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

#include "base/format.h"
#include "base/hash.h"
#include "base/random.h"

namespace switchyard {
namespace {

constexpr int64_t kLengthStep = 32;  // lengths of rows that are not packed: few shapes

SequenceLengths length_of(const RowOfExamples& row) {
  SequenceLengths sum;
  for (const uint32_t i : row.examples) {
    const SequenceLengths own = row.from->lengths(i);
    sum.inputs += own.inputs;
    sum.targets += own.targets;
  }
  return sum;
}

int64_t round_up(int64_t length, int64_t most) {
  return std::min((length + kLengthStep - 1) / kLengthStep * kLengthStep, most);
}

SequenceLengths longest(const std::vector<RowOfExamples>& rows, const SequenceLengths& room) {
  SequenceLengths most;
  for (const RowOfExamples& row : rows) {
    const SequenceLengths own = length_of(row);
    most.inputs = std::max(most.inputs, own.inputs);
    most.targets = std::max(most.targets, own.targets);
  }
  return {round_up(most.inputs, room.inputs), round_up(most.targets, room.targets)};
}

void append(std::span<const int32_t> own, int32_t segment, std::vector<int32_t>& ids,
            std::vector<int32_t>& segments) {
  ids.insert(ids.end(), own.begin(), own.end());
  segments.resize(ids.size(), segment);
}

TokenBatch make_batch_of(const std::vector<RowOfExamples>& rows, uint64_t first,
                         const SequenceLengths& lengths) {
  TokenBatch batch;
  batch.num_sequences = static_cast<int64_t>(rows.size());
  batch.input_length = lengths.inputs;
  batch.target_length = lengths.targets;
  batch.first_sequence = static_cast<int64_t>(first);
  for (size_t r = 0; r < rows.size(); ++r) {
    int32_t segment = 0;
    for (const uint32_t i : rows[r].examples) {
      ++segment;
      append(rows[r].from->input(i), segment, batch.inputs, batch.input_segments);
      append(rows[r].from->target(i), segment, batch.targets, batch.target_segments);
    }
    const auto end = [r](int64_t length) { return (r + 1) * static_cast<size_t>(length); };
    batch.inputs.resize(end(lengths.inputs));
    batch.input_segments.resize(end(lengths.inputs));
    batch.targets.resize(end(lengths.targets));
    batch.target_segments.resize(end(lengths.targets));
  }
  return batch;
}

std::vector<uint32_t> in_order(size_t size) {
  std::vector<uint32_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

PackedRows one_each(size_t size) {
  PackedRows rows;
  rows.examples = in_order(size);
  rows.ends.resize(size);
  std::iota(rows.ends.begin(), rows.ends.end(), 1);
  return rows;
}

PackedRows rows_in_order(const ExampleIds& examples, const ExampleRowOptions& options) {
  if (!options.pack) return one_each(examples.size());
  std::vector<SequenceLengths> lengths;
  for (size_t i = 0; i < examples.size(); ++i) lengths.push_back(examples.lengths(i));
  return pack_examples(lengths, in_order(examples.size()), options.room);
}

}  // namespace

ExampleStream::ExampleStream(std::vector<ExampleSource> sources, const ExampleRowOptions& options)
    : options_(options) {
  std::string all = format("{} {} {}", options.room.inputs, options.room.targets, options.pack);
  double sum = 0;
  for (size_t k = 0; k < sources.size(); ++k) {
    all += format(" {} {}", to_hex(sources[k].examples.hash()), sources[k].weight);
    const uint64_t seed = RandomStream(options.seed, kRandomShuffle, k, ~uint64_t{0}).bits64(0);
    sources_.push_back(std::make_unique<ExampleRows>(std::move(sources[k].examples), options.room,
                                                     options.pack, seed));
    // Weights count examples; rows of short examples hold more of them.
    shares_.push_back(sources[k].weight / sources_.back()->examples_per_row());
    sum += shares_.back();
  }
  for (double& share : shares_) share /= sum;
  mixture_ = std::make_unique<MixtureSchedule>(shares_, options.seed);
  fingerprint_ = to_hex(hash64(all));
}

RowOfExamples ExampleStream::row(uint64_t number) const {
  const MixtureSchedule::Place place = mixture_->at(number);
  const ExampleRows& source = *sources_[place.source];
  return {&source.examples(), source.row(place.index)};
}

/// Of rows [first, end): by the whole batches that they belong to.
SequenceLengths ExampleStream::width(uint64_t first, uint64_t end) const {
  if (options_.pack) return options_.room;
  const auto batch = static_cast<uint64_t>(options_.batch_rows);
  std::vector<RowOfExamples> rows;
  for (uint64_t i = first / batch * batch; i < (end + batch - 1) / batch * batch; ++i) {
    rows.push_back(row(i));
  }
  return longest(rows, options_.room);
}

TokenBatch ExampleStream::batch(uint64_t first, int64_t count) const {
  const uint64_t end = first + static_cast<uint64_t>(count);
  std::vector<RowOfExamples> rows;
  for (uint64_t i = first; i < end; ++i) rows.push_back(row(i));
  return make_batch_of(rows, first, width(first, end));
}

uint64_t ExampleStream::num_examples() const {
  uint64_t sum = 0;
  for (const auto& source : sources_) sum += source->examples().size();
  return sum;
}

double ExampleStream::examples_per_row() const {
  double mean = 0;
  for (size_t k = 0; k < sources_.size(); ++k) mean += shares_[k] * sources_[k]->examples_per_row();
  return mean;
}

HeldOutExamples::HeldOutExamples(ExampleIds examples, const ExampleRowOptions& options)
    : examples_(std::move(examples)), rows_(rows_in_order(examples_, options)) {
  lengths_ = options.pack ? options.room : longest(rows(0, rows_.size()), options.room);
}

std::vector<RowOfExamples> HeldOutExamples::rows(uint64_t first, uint64_t end) const {
  std::vector<RowOfExamples> rows;
  for (uint64_t r = first; r < end; ++r) {
    const auto row = rows_.row(r);
    rows.push_back({&examples_, {row.begin(), row.end()}});
  }
  return rows;
}

TokenBatch HeldOutExamples::batch(uint64_t first, int64_t count) const {
  const uint64_t end = std::min(num_sequences(), first + static_cast<uint64_t>(count));
  return make_batch_of(rows(first, end), first, lengths_);
}

}  // namespace switchyard
