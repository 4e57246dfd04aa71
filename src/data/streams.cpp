#include "data/streams.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "text/tokenizer.h"

namespace switchyard {
namespace {

constexpr uint64_t kEvaluationSeed = 0x65766C;  // fixed: evaluations must be comparable
constexpr uint64_t kEpochShift = 1;             // second key of kRandomShuffle; 0 is the order's

std::vector<PreparedData> open_sources(const std::vector<PreparedSource>& named) {
  if (named.empty()) {
    throw usage_error("no training data", "data.train",
                      "name a folder made by `switchyard prepare`");
  }
  std::vector<PreparedData> sources;
  for (const auto& [name, path, weight] : named) {
    if (!(weight > 0)) throw usage_error(format("weight {} of '{}'", weight, path), "data.train");
    sources.emplace_back(path);
    if (sources.back().tokenizer_hash() != sources.front().tokenizer_hash()) {
      throw usage_error("prepared with another tokenizer than the first source", path,
                        format("prepare it with {}", sources.front().tokenizer_path()));
    }
  }
  return sources;
}

std::vector<double> shares_of(const std::vector<PreparedSource>& named,
                              const std::vector<PreparedData>& sources, double exponent) {
  std::vector<double> shares;
  for (size_t k = 0; k < named.size(); ++k) {
    const auto tokens = static_cast<double>(sources[k].num_tokens());
    shares.push_back(named[k].weight * std::pow(tokens, exponent));
  }
  return shares;
}

void check_length(const PreparedData& data, const SpanLengths& lengths) {
  if (data.num_tokens() >= static_cast<uint64_t>(lengths.raw)) return;
  throw usage_error(
      format("{} tokens do not fill one sequence of {}", data.num_tokens(), lengths.raw),
      data.folder(), "prepare more text or lower data.input_length");
}

// `length` tokens from `begin` on, of a stream whose end goes on at its start.
struct RingRange {
  uint64_t begin, before_end, after_start;  // tokens up to the end, and from the start
};

RingRange ring_range(const PreparedData& data, uint64_t begin, uint64_t length) {
  const uint64_t before_end = std::min(length, data.num_tokens() - begin);
  return {begin, before_end, length - before_end};
}

bool is_sound(const PreparedData& data, const RingRange& range) {
  return data.is_sound(range.begin, range.before_end) && data.is_sound(0, range.after_start);
}

// The first place from `index` on in the order of an epoch of `windows` whose window is sound: a
// function of the files alone, so that any process takes the same.
template <class IsSound>
uint64_t first_sound(const PreparedData& data, uint64_t index, uint64_t windows, IsSound sound) {
  for (uint64_t place = index; place < index + windows; ++place) {
    if (sound(place)) return place;
  }
  throw damaged_error("no sequence is sound", data.folder(),
                      "copy the prepared data again or make it anew");
}

TokenBatch empty_batch(const SequenceLengths& lengths, uint64_t first, int64_t count) {
  TokenBatch batch;
  batch.input_length = lengths.inputs;
  batch.target_length = lengths.targets;
  batch.first_sequence = static_cast<int64_t>(first);
  batch.inputs.reserve(static_cast<size_t>(count * lengths.inputs));
  batch.targets.reserve(static_cast<size_t>(count * lengths.targets));
  return batch;
}

}  // namespace

SpanCorrupter::SpanCorrupter(const DataConfig& config, int32_t vocab_size, uint64_t seed)
    : noise_density_(config.noise_density),
      mean_span_length_(config.mean_span_length),
      lengths_(span_lengths(config.input_length, config.noise_density, config.mean_span_length)),
      first_sentinel_(vocab_size - 1),
      seed_(seed) {}

void SpanCorrupter::add_row(std::span<const int32_t> raw, uint64_t number,
                            TokenBatch& batch) const {
  const auto mask = random_spans_mask(lengths_.raw, noise_density_, mean_span_length_,
                                      RandomStream(seed_, kRandomSpans, number));
  corrupt_spans(raw, mask, first_sentinel_, batch.inputs, batch.targets);
  batch.inputs.push_back(kEosId);
  batch.targets.push_back(kEosId);
  ++batch.num_sequences;
}

TrainingStream::TrainingStream(const DataConfig& config, uint64_t seed)
    : named_(find_prepared(config.train, "train")),
      sources_(open_sources(named_)),
      skip_damage_(config.on_damage == "skip"),
      seed_(seed),
      corrupter_(config, sources_.front().vocab_size(), seed),
      mixture_(shares_of(named_, sources_, config.size_exponent), seed) {
  for (const PreparedData& source : sources_) check_length(source, corrupter_.lengths());
}

uint64_t TrainingStream::damaged_pieces() const {
  uint64_t pieces = 0;
  for (const PreparedData& source : sources_) pieces += source.damaged_pieces();
  return pieces;
}

std::string TrainingStream::fingerprint() const {
  std::string all;
  for (const PreparedData& source : sources_) all += source.manifest().to_json();
  return to_hex(hash64(all));
}

uint64_t TrainingStream::sequences_per_epoch(size_t k) const {
  return sources_[k].num_tokens() / static_cast<uint64_t>(corrupter_.lengths().raw);
}

void TrainingStream::copy_window(size_t source, uint64_t index, int32_t* raw) const {
  const PreparedData& data = sources_[source];
  const uint64_t windows = sequences_per_epoch(source);
  const uint64_t epoch = index / windows;
  const uint64_t source_seed = RandomStream(seed_, kRandomShuffle, source, ~uint64_t{0}).bits64(0);
  const uint64_t shift =
      RandomStream(source_seed, kRandomShuffle, epoch, kEpochShift).below(0, data.num_tokens());
  const auto length = static_cast<uint64_t>(corrupter_.lengths().raw);
  const auto window_at = [&](uint64_t place) {
    const uint64_t window = permute_index(place % windows, windows, source_seed, epoch);
    return ring_range(data, (shift + window * length) % data.num_tokens(), length);
  };
  RingRange range = window_at(index);
  if (skip_damage_) {
    range = window_at(first_sound(
        data, index, windows, [&](uint64_t place) { return is_sound(data, window_at(place)); }));
  }
  data.copy(range.begin, range.before_end, raw);
  data.copy(0, range.after_start, raw + range.before_end);
}

TokenBatch TrainingStream::batch(uint64_t first, int64_t count) const {
  TokenBatch batch = empty_batch(lengths(), first, count);
  std::vector<int32_t> raw(static_cast<size_t>(corrupter_.lengths().raw));
  for (uint64_t i = first; i < first + static_cast<uint64_t>(count); ++i) {
    const MixtureSchedule::Place place = mixture_.at(i);
    copy_window(place.source, place.index, raw.data());
    corrupter_.add_row(raw, i, batch);
  }
  return batch;
}

EvaluationStream::EvaluationStream(const DataConfig& config, const std::string& folder,
                                   uint64_t max_sequences)
    : data_(folder),
      skip_damage_(config.on_damage == "skip"),
      corrupter_(config, data_.vocab_size(), kEvaluationSeed) {
  check_length(data_, corrupter_.lengths());
  num_windows_ = data_.num_tokens() / static_cast<uint64_t>(corrupter_.lengths().raw);
  num_sequences_ = max_sequences == 0 ? num_windows_ : std::min(max_sequences, num_windows_);
}

uint64_t EvaluationStream::window_of(uint64_t sequence) const {
  const auto length = static_cast<uint64_t>(corrupter_.lengths().raw);
  const auto window_at = [&](uint64_t place) {
    return permute_index(place % num_windows_, num_windows_, kEvaluationSeed, 0);
  };
  if (!skip_damage_) return window_at(sequence);
  return window_at(first_sound(data_, sequence, num_windows_, [&](uint64_t place) {
    return data_.is_sound(window_at(place) * length, length);
  }));
}

TokenBatch EvaluationStream::batch(uint64_t first, int64_t count) const {
  const uint64_t end = std::min(num_sequences_, first + static_cast<uint64_t>(count));
  TokenBatch batch = empty_batch(lengths(), first, count);
  const auto length = static_cast<uint64_t>(corrupter_.lengths().raw);
  std::vector<int32_t> raw(length);
  for (uint64_t i = first; i < end; ++i) {
    const uint64_t window = window_of(i);
    data_.copy(window * length, length, raw.data());
    corrupter_.add_row(raw, window, batch);
  }
  return batch;
}

}  // namespace switchyard
