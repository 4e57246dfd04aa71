// A completion under way: what the batch calls back is made into an answer, at the end or in parts
// as server-sent events.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "infer/text_stream.h"
#include "serve/completion_answer.h"
#include "serve/completion_request.h"
#include "serve/engine_loop.h"
#include "serve/http_server.h"

namespace switchyard {

/// Made in one thread, then of the computing thread alone.
class CompletionJob : public std::enable_shared_from_this<CompletionJob> {
 public:
  /// `context` and `metrics` must outlive it.
  CompletionJob(const AnswerContext& context, CompletionRequest request,
                std::shared_ptr<HttpExchange> exchange, Metrics& metrics);

  /// What to submit. Its callbacks keep this object alive.
  Job job();
  int64_t input_tokens() const;

 private:
  /// One output.
  struct Choice {
    Choice(std::vector<std::string> stops, size_t fixed_bytes)
        : text(std::move(stops), fixed_bytes) {}
    TextStream text;
    LogProbs log_probs;
    size_t text_bytes = 0, characters = 0;  // of the text before the next id
    std::shared_ptr<RoutingTrace> trace;
    std::vector<int32_t> ids;  // so far, where they are needed before the end
    size_t ids_sent = 0;
    nlohmann::ordered_json json;  // once done, of an answer in one piece
  };

  BatchRequest row(size_t index);
  bool stop_at(Choice& choice, const std::vector<int32_t>& ids);
  void take_id(size_t index, int64_t id, std::span<const float> log_p);
  void take_output(size_t index, const Generation& generation);
  void fail(JobFailure failure);
  void send_part(size_t index, const char* finish_reason, const Generation* whole);
  void send_event(nlohmann::ordered_json choices);
  void finish();
  nlohmann::ordered_json log_probs_of(Choice& choice);
  void add_extras(size_t index, const Generation& generation, nlohmann::ordered_json& json) const;
  const std::vector<int32_t>& input_of(size_t index) const;
  std::string note() const;
  /// Whether text is needed while an output grows.
  bool follows_text() const {
    return context_.tokenizer && (request_.stream || request_.log_probs || !request_.stops.empty());
  }

  const AnswerContext& context_;
  const CompletionRequest request_;
  std::shared_ptr<HttpExchange> exchange_;
  Metrics& metrics_;
  const std::string id_;
  const int64_t created_;
  const Clock::time_point start_ = Clock::now();
  std::vector<Choice> choices_;
  size_t left_;
  Usage usage_;
  bool begun_ = false;
};

}  // namespace switchyard
