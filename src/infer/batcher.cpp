#include "infer/batcher.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "infer/step_decoder.h"
#include "kernels/decode_rows.h"

namespace switchyard {

/// A request being decoded. Stays in place: its output refers to its options.
struct Batcher::Running {
  Running(Waiting from, std::shared_ptr<const EncodedInput> input)
      : number(from.number),
        request(std::move(from.request)),
        row{std::move(input), {}, request.trace.get()} {
    if (!request.target.empty()) return;
    if (request.sample) {
      request.sample->max_new_tokens = request.max_new_tokens;
      output.emplace(request.output, *request.sample, request.key, request.draw);
    } else {
      output.emplace(request.output, request.max_new_tokens);
    }
  }
  bool done() const { return output ? output->done() : fed == request.target.size(); }
  /// Whether the next step's numbers choose an id, and do not stand before one of the prefix.
  bool writes() const { return fed >= request.output.prefix.size(); }
  /// Takes the numbers of a step.
  void advance(std::span<const float> log_p, float log_sum) {
    if (!output) {
      take_target(log_p);
      return;
    }
    if (!writes()) {
      next_id = request.output.prefix[fed++];
      return;
    }
    next_id = output->advance(log_p, log_sum);
    if (request.on_id) request.on_id(next_id, log_p);
    if (done() && request.on_done) request.on_done(output->take());
  }
  void take_target(std::span<const float> log_p) {
    const int32_t id = request.target[fed++];
    next_id = id;
    scored.ids.push_back(id);
    scored.token_log_probs.push_back(log_p[static_cast<size_t>(id)]);
    scored.score = scored.log_prob += scored.token_log_probs.back();
    if (request.on_id) request.on_id(id, log_p);
    if (done() && request.on_done) request.on_done(std::move(scored));
  }

  uint64_t number;
  BatchRequest request;
  DecoderRow row;
  std::optional<OngoingOutput> output;  // of an answer
  Generation scored;                    // of a target
  int64_t next_id = kDecoderStartId;
  size_t fed = 0;  // ids of the prefix or target
};

Batcher::Batcher(InferenceModel& model, int64_t max_rows)
    : model_(model), max_rows_(static_cast<size_t>(max_rows)) {}

Batcher::~Batcher() = default;

uint64_t Batcher::submit(BatchRequest request) {
  waiting_.push_back({++submitted_, std::move(request)});
  return submitted_;
}

bool Batcher::cancel(uint64_t number) {
  const auto is_it = [&](const auto& own) { return own.number == number; };
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), is_it);
  if (found != waiting_.end()) {
    waiting_.erase(found);
    return true;
  }
  return running_.remove_if([&](const auto& own) { return own->number == number; }) > 0;
}

void Batcher::admit() {
  const size_t count = std::min(waiting_.size(), max_rows_ - running_.size());
  if (count == 0) return;
  std::vector<std::vector<int32_t>> inputs;
  std::vector<RoutingTrace*> traces;
  for (size_t i = 0; i < count; ++i) {
    inputs.push_back(waiting_[i].request.input);
    traces.push_back(waiting_[i].request.trace.get());
  }
  auto encoded = model_.encode(inputs, traces);
  for (auto& input : encoded) {
    running_.push_back(std::make_unique<Running>(std::move(waiting_.front()), std::move(input)));
    waiting_.pop_front();
  }
}

/// Fills log_p_ and log_sums_.
void Batcher::compute(std::vector<Running*>& rows) {
  const auto count = static_cast<int64_t>(rows.size()), vocabulary = model_.config().vocab_size;
  log_p_.resize(static_cast<size_t>(count * vocabulary));
  log_sums_.resize(rows.size());
  ids_.clear();
  rows_.clear();
  for (Running* own : rows) {
    ids_.push_back(own->next_id);
    rows_.push_back(&own->row);
  }
  model_.step(rows_, ids_, log_p_.data());
  kernels::log_softmax_rows({log_p_.data(), count, vocabulary, log_sums_.data()});
  for (size_t r = 0; r < rows.size(); ++r) {
    if (!std::isnan(log_p_[r * static_cast<size_t>(vocabulary)])) continue;
    running_.clear();
    waiting_.clear();
    throw runtime_failure("the model's logits are not finite", "",
                          "its weights may be damaged; or try --precision fp32");
  }
}

bool Batcher::step() {
  admit();
  if (running_.empty()) return false;
  std::vector<Running*> rows;
  for (const auto& own : running_) rows.push_back(own.get());
  compute(rows);
  const auto vocabulary = static_cast<size_t>(model_.config().vocab_size);
  for (size_t r = 0; r < rows.size(); ++r) {
    rows[r]->advance({log_p_.data() + r * vocabulary, vocabulary}, log_sums_[r]);
  }
  running_.remove_if([](const auto& own) { return own->done(); });
  return !running_.empty() || !waiting_.empty();
}

}  // namespace switchyard
