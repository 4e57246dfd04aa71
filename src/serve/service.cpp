#include "serve/service.h"

#include <ctime>
#include <exception>
#include <limits>
#include <utility>

#include "base/format.h"
#include "base/log.h"
#include "serve/api_error.h"
#include "serve/completion_job.h"
#include "serve/page_files.h"
#include "serve/request_fields.h"
#include "serve/score_request.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kReaders = 2;
constexpr const char* kOtherPath = "other";

HttpReply text_reply(std::string text, const char* type = "text/plain; charset=utf-8") {
  HttpReply reply;
  reply.type = type;
  reply.body = std::move(text);
  return reply;
}

HttpReply json_reply(const Json& json) {
  HttpReply reply;
  reply.body = json_text(json);
  return reply;
}

HttpReply page_reply(std::string_view text, const char* type) {
  HttpReply reply = text_reply(std::string(text), type);
  // The page needs nothing from elsewhere and must not be framed.
  reply.headers = {{"Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
                   {"X-Content-Type-Options", "nosniff"},
                   {"Cache-Control", "no-cache"}};
  return reply;
}

bool is_json(const std::string& content_type) {
  std::string type(trim(std::string_view(content_type).substr(0, content_type.find(';'))));
  for (char& letter : type) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return type == "application/json";
}

}  // namespace

Service::Service(ServiceOptions options, EngineLoop& engine, Metrics& metrics)
    : options_(std::move(options)),
      engine_(engine),
      metrics_(metrics),
      started_(std::time(nullptr)),
      routes_(make_routes()),
      tasks_(std::numeric_limits<size_t>::max()) {  // one a connection, which are limited
  for (int i = 0; i < kReaders; ++i) readers_.emplace_back([this] { work(); });
}

Service::~Service() {
  tasks_.close();
  for (std::thread& reader : readers_) reader.join();
}

std::map<std::string, Service::Route> Service::make_routes() {
  const auto page = [](std::string_view text, const char* type) {
    return Route{[text, type] { return page_reply(text, type); }, nullptr, false};
  };
  return {
      {"/", page(kServePageHtml, "text/html; charset=utf-8")},
      {"/page.css", page(kServePageCss, "text/css; charset=utf-8")},
      {"/page.js", page(kServePageJs, "text/javascript; charset=utf-8")},
      {"/healthz", {[] { return text_reply("ok\n"); }, nullptr, false}},
      {"/readyz", {[this] { return ready(); }, nullptr, false}},
      {"/metrics",
       {[this] { return text_reply(metrics_.text(), "text/plain; version=0.0.4; charset=utf-8"); },
        nullptr, false}},
      {"/v1/models", {[this] {
         return json_reply({{"object", "list"}, {"data", Json::array({model()})}});
       }}},
      {"/v1/models/" + options_.context.model, {[this] { return json_reply(model()); }}},
      {"/v1/completions", {{}, &Service::complete}},
      {"/v1/score", {{}, &Service::score}},
  };
}

void Service::work() {
  while (const auto task = tasks_.pop()) (*task)();
}

void Service::handle(HttpRequest request, Exchange exchange) {
  const auto found = routes_.find(request.path);
  if (found == routes_.end()) {
    exchange->send(error_reply(404, format("there is nothing at {:.200}", request.path)));
    return;
  }
  const Route& route = found->second;
  if (route.needs_key && !options_.keys.allow(request.authorization)) {
    exchange->send(error_reply(401, "no API key, or a wrong one; send `Authorization: Bearer KEY`",
                               "", "invalid_api_key"));
    return;
  }
  if (route.get && (request.method == "GET" || request.method == "HEAD")) {
    exchange->send(route.get());
  } else if (route.post && request.method == "POST") {
    read(route, std::move(request), std::move(exchange));
  } else {
    const char* allowed = route.get ? "GET, HEAD" : "POST";
    HttpReply reply = error_reply(
        405, format("{:.20} does not go with {}; use {}", request.method, request.path, allowed));
    reply.headers.emplace_back("Allow", allowed);
    exchange->send(std::move(reply));
  }
}

void Service::read(const Route& route, HttpRequest request, Exchange exchange) {
  if (draining_) {
    exchange->send(draining_reply());
    return;
  }
  // What a page of another site may send without asking first is no JSON.
  if (!is_json(request.content_type)) {
    exchange->send(error_reply(415, "send `Content-Type: application/json`"));
    return;
  }
  tasks_.push(
      [this, work = route.post, body = std::move(request.body), exchange = std::move(exchange)] {
        try {
          (this->*work)(body, exchange);
        } catch (const Error& error) {
          exchange->send(error_reply(error));
        } catch (const std::exception& error) {  // out of memory, most likely
          exchange->send(error_reply(500, error.what()));
        }
      });
}

void Service::complete(const std::string& body, const Exchange& exchange) {
  CompletionRequest request =
      parse_completion_request(body, options_.context.tokenizer, options_.limits);
  if (!has_model(request.model, exchange)) return;
  const auto completion =
      std::make_shared<CompletionJob>(options_.context, std::move(request), exchange, metrics_);
  submit(completion->job(), completion->input_tokens(), exchange);
}

void Service::score(const std::string& body, const Exchange& exchange) {
  ScoreBody read = parse_score_request(body, options_.context.tokenizer, options_.limits);
  if (!has_model(read.model, exchange)) return;
  const auto input_tokens = static_cast<int64_t>(read.request.input.size());
  const std::string note = format("{} + {} tokens", input_tokens, read.request.target.size());
  BatchRequest row;
  row.input = std::move(read.request.input);
  row.target = std::move(read.request.target);
  row.on_done = [exchange, note](const Generation& scored) {
    exchange->send(json_reply({{"log_prob", scored.log_prob},
                               {"token_log_probs", scored.token_log_probs},
                               {"num_tokens", scored.token_log_probs.size()}}),
                   note);
  };
  Job job;
  job.rows.push_back(std::move(row));
  job.on_failure = [exchange](JobFailure failure) { exchange->send(failure_reply(failure)); };
  submit(std::move(job), input_tokens, exchange);
}

bool Service::has_model(const std::string& name, const Exchange& exchange) const {
  if (name.empty() || name == options_.context.model) return true;
  exchange->send(error_reply(
      404, format("there is no model `{:.200}` here, but `{}`", name, options_.context.model),
      "model", "model_not_found"));
  return false;
}

void Service::submit(Job job, int64_t input_tokens, const Exchange& exchange) {
  uint64_t number = 0;
  switch (engine_.submit(std::move(job), number)) {
    case EngineLoop::Admission::kAccepted:
      metrics_.add_input_tokens(input_tokens);
      exchange->on_gone([this, number] { engine_.cancel(number); });
      break;
    case EngineLoop::Admission::kFull:
      exchange->send(
          error_reply(429, "too many requests are waiting; try again later", "", "queue_full"));
      break;
    case EngineLoop::Admission::kEnding:
      exchange->send(draining_reply());
      break;
  }
}

Json Service::model() const {
  const RequestLimits& limits = options_.limits;
  return {{"id", options_.context.model},
          {"object", "model"},
          {"created", started_},
          {"owned_by", "switchyard"},
          {"max_input_tokens", limits.input_tokens},
          {"max_output_tokens", limits.output_tokens},
          {"num_experts", options_.context.num_experts},
          {"routed_layers", options_.context.layers},
          {"has_tokenizer", options_.context.tokenizer != nullptr}};
}

HttpReply Service::draining_reply() const {
  return error_reply(503, "the server is stopping", "", "draining");
}

HttpReply Service::ready() const { return draining_ ? draining_reply() : text_reply("ready\n"); }

void Service::observe(const HttpRecord& record) {
  const std::string& path = routes_.contains(record.path) ? record.path : kOtherPath;
  metrics_.add_request(path, record.status, record.seconds);
  const std::string note = record.note.empty() ? "" : ", " + record.note;
  log_info("{:.20} {} {} {:.1f} ms{}", record.method.empty() ? "-" : record.method, path,
           record.status, 1e3 * record.seconds, note);
}

}  // namespace switchyard
