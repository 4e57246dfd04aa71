#include "serve/completion_job.h"

#include <algorithm>
#include <ctime>
#include <random>
#include <utility>

#include "base/format.h"
#include "infer/step_decoder.h"
#include "serve/api_error.h"

namespace switchyard {
namespace {

using Json = nlohmann::ordered_json;

std::string new_id() {
  std::random_device random;
  return format("cmpl-{:08x}{:08x}{:08x}", random(), random(), random());
}

const char* finish_reason_of(const Generation& generation) {
  return generation.finished || generation.stopped ? "stop" : "length";
}

HttpReply event_stream() {
  HttpReply reply;
  reply.type = "text/event-stream";
  // Proxies are not to wait for more.
  reply.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  return reply;
}

size_t count_characters(std::string_view utf8) {
  return static_cast<size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string event(const std::string& data) { return "data: " + data + "\n\n"; }

}  // namespace

CompletionJob::CompletionJob(const AnswerContext& context, CompletionRequest request,
                             std::shared_ptr<HttpExchange> exchange, Metrics& metrics)
    : context_(context),
      request_(std::move(request)),
      exchange_(std::move(exchange)),
      metrics_(metrics),
      id_(new_id()),
      created_(std::time(nullptr)),
      left_(static_cast<size_t>(request_.num_choices())) {
  const size_t fixed_bytes = context.tokenizer && !request_.output.prefix.empty()
                                 ? context.tokenizer->decode(request_.output.prefix).size()
                                 : 0;
  for (size_t i = 0; i < left_; ++i) {
    choices_.emplace_back(request_.stops, fixed_bytes);
    choices_.back().ids = request_.output.prefix;
    if (request_.routing) choices_.back().trace = std::make_shared<RoutingTrace>();
  }
  usage_.prompt_tokens = input_tokens();
}

int64_t CompletionJob::input_tokens() const {
  size_t count = 0;
  for (const auto& input : request_.inputs) count += input.size();
  return static_cast<int64_t>(count);
}

const std::vector<int32_t>& CompletionJob::input_of(size_t index) const {
  return request_.inputs[index / static_cast<size_t>(request_.num_outputs)];
}

Job CompletionJob::job() {
  Job job;
  for (size_t i = 0; i < choices_.size(); ++i) job.rows.push_back(row(i));
  job.on_failure = [own = shared_from_this()](JobFailure failure) { own->fail(failure); };
  return job;
}

BatchRequest CompletionJob::row(size_t index) {
  const auto outputs = static_cast<size_t>(request_.num_outputs);
  BatchRequest row;
  row.input = input_of(index);
  row.output = request_.output;
  row.max_new_tokens = request_.max_new_tokens;
  row.sample = request_.sample;
  row.key = index / outputs;
  row.draw = index % outputs;
  row.trace = choices_[index].trace;
  if (follows_text()) {
    row.output.stop = [own = shared_from_this(), index](const std::vector<int32_t>& ids) {
      return own->stop_at(own->choices_[index], ids);
    };
  }
  row.on_id = [own = shared_from_this(), index](int64_t id, std::span<const float> log_p) {
    own->take_id(index, id, log_p);
  };
  row.on_done = [own = shared_from_this(), index](const Generation& generation) {
    own->take_output(index, generation);
  };
  return row;
}

bool CompletionJob::stop_at(Choice& choice, const std::vector<int32_t>& ids) {
  return choice.text.update(context_.tokenizer->decode(ids));
}

void CompletionJob::take_id(size_t index, int64_t id, std::span<const float> log_p) {
  Choice& choice = choices_[index];
  if (usage_.completion_tokens++ == 0) metrics_.add_first_token(seconds_since(start_));
  if (request_.log_probs) {
    choice.log_probs.add(context_, id, log_p, *request_.log_probs, choice.characters);
    const std::string_view fresh = std::string_view(choice.text.text()).substr(choice.text_bytes);
    choice.characters += count_characters(fresh);
    choice.text_bytes += fresh.size();
  }
  if (!request_.stream || id == kDecoderEosId) return;
  choice.ids.push_back(static_cast<int32_t>(id));
  // A part with nothing to read in it is sent only for those who read ids.
  const bool has_ids = request_.return_token_ids || request_.log_probs || !context_.tokenizer;
  if (has_ids || !choice.text.fresh().empty()) send_part(index, nullptr, nullptr);
}

void CompletionJob::take_output(size_t index, const Generation& generation) {
  Choice& choice = choices_[index];
  if (context_.tokenizer) choice.text.finish(context_.tokenizer->decode(generation.ids));
  const char* reason = finish_reason_of(generation);
  if (request_.stream) {
    send_part(index, reason, &generation);
  } else {
    choice.json =
        choice_json(static_cast<int64_t>(index), choice.text.text(), log_probs_of(choice), reason);
    if (request_.return_token_ids || !context_.tokenizer) choice.json["token_ids"] = generation.ids;
    add_extras(index, generation, choice.json);
  }
  if (--left_ == 0) finish();
}

/// What only the whole of a choice has.
void CompletionJob::add_extras(size_t index, const Generation& generation, Json& json) const {
  json["log_prob"] = generation.log_prob;
  const auto& trace = choices_[index].trace;
  if (trace) json["routing"] = routing_json(context_, *trace, input_of(index), generation.ids);
}

Json CompletionJob::log_probs_of(Choice& choice) {
  return request_.log_probs ? choice.log_probs.take() : Json();
}

void CompletionJob::send_part(size_t index, const char* finish_reason, const Generation* whole) {
  Choice& choice = choices_[index];
  Json json = choice_json(static_cast<int64_t>(index), choice.text.take(), log_probs_of(choice),
                          finish_reason);
  if (request_.return_token_ids || !context_.tokenizer) {
    json["token_ids"] = std::vector<int32_t>(
        choice.ids.begin() + static_cast<std::ptrdiff_t>(choice.ids_sent), choice.ids.end());
    choice.ids_sent = choice.ids.size();
  }
  if (whole) add_extras(index, *whole, json);
  send_event(Json::array({std::move(json)}));
}

void CompletionJob::send_event(Json choices) {
  Json json = answer_json(context_, id_, created_, std::move(choices));
  if (request_.include_usage) json["usage"] = nullptr;
  if (!std::exchange(begun_, true)) exchange_->begin(event_stream());
  exchange_->write(event(json_text(json)));
}

void CompletionJob::finish() {
  if (request_.stream) {
    if (request_.include_usage) {
      Json json = answer_json(context_, id_, created_, Json::array());
      json["usage"] = usage_json(usage_);
      exchange_->write(event(json_text(json)));
    }
    exchange_->write(event("[DONE]"));
    exchange_->end(note());
    return;
  }
  Json choices = Json::array();
  for (Choice& choice : choices_) choices.push_back(std::move(choice.json));
  Json json = answer_json(context_, id_, created_, std::move(choices));
  json["usage"] = usage_json(usage_);
  HttpReply reply;
  reply.body = json_text(json);
  exchange_->send(std::move(reply), note());
}

void CompletionJob::fail(JobFailure failure) {
  HttpReply reply = failure_reply(failure);
  if (!begun_) {
    exchange_->send(std::move(reply), note());
    return;
  }
  exchange_->write(event(reply.body));
  exchange_->end(note());
}

std::string CompletionJob::note() const {
  return format("{} + {} tokens", usage_.prompt_tokens, usage_.completion_tokens);
}

}  // namespace switchyard
