// Continuous batching: requests join and leave at token boundaries, so that a short answer does not
// wait for a long one and a new request not for all others. What a request gets is the same to the
// bit whatever is decoded with it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "infer/engine/inference_model.h"
#include "infer/generation.h"
#include "infer/ongoing_output.h"

namespace switchyard {

struct BatchRequest {
  std::vector<int32_t> input;  // as InferenceModel::encode's, at least one id that is not 0
  OutputOptions output;
  int64_t max_new_tokens = 0;             // >= 1, EOS counted
  std::optional<SamplingOptions> sample;  // empty: greedy; max_new_tokens above counts
  uint64_t key = 0, draw = 0;             // of random numbers, beside the seed
  /// Instead of an answer: ids, with EOS where it counts, that the output is made to be, to learn
  /// their log-probabilities. Neither limits nor `output` and `sample` play a part then.
  std::vector<int32_t> target;
  /// If set: where the routes of input and output are appended, by the time of the calls below.
  std::shared_ptr<RoutingTrace> trace;
  /// Called within step(): with each new id and the log-probabilities of all that might have come
  /// in its place, then once with the whole. May be empty; must not call the batcher.
  std::function<void(int64_t id, std::span<const float> log_p)> on_id;
  std::function<void(Generation)> on_done;
};

/// Not thread-safe: one thread submits and steps. `model` must outlive it.
class Batcher {
 public:
  /// At most `max_rows` >= 1 requests are decoded together; others wait in the order they came.
  Batcher(InferenceModel& model, int64_t max_rows);
  ~Batcher();

  /// Returns the request's number, for cancel().
  uint64_t submit(BatchRequest request);
  /// Drops a request, waiting or running, without a call of on_done. False if there is none.
  bool cancel(uint64_t number);
  /// Lets waiting requests in while there is room, encodes those, and extends every running one by
  /// one id. Returns whether any is left. Throws Error(kRuntime), with all requests dropped, if the
  /// model gives numbers that are not finite.
  bool step();
  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }

 private:
  struct Running;
  struct Waiting {
    uint64_t number;
    BatchRequest request;
  };
  void admit();
  void compute(std::vector<Running*>& rows);

  InferenceModel& model_;
  size_t max_rows_;
  uint64_t submitted_ = 0;
  std::deque<Waiting> waiting_;
  std::list<std::unique_ptr<Running>> running_;
  std::vector<float> log_p_, log_sums_;
  std::vector<int64_t> ids_;
  std::vector<DecoderRow*> rows_;
};

}  // namespace switchyard
