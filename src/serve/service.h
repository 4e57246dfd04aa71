// What is served: which path does what, and who may.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/threads.h"
#include "serve/api_keys.h"
#include "serve/completion_answer.h"
#include "serve/engine_loop.h"
#include "serve/http_server.h"
#include "serve/limits.h"
#include "serve/metrics.h"

namespace switchyard {

struct ServiceOptions {
  AnswerContext context;
  RequestLimits limits;
  ApiKeys keys;
};

/// Reading requests (JSON, text to ids) is the work of two threads of its own, so that the thread
/// that calls handle() never waits.
class Service {
 public:
  /// `engine` and `metrics` must outlive it.
  Service(ServiceOptions options, EngineLoop& engine, Metrics& metrics);
  ~Service();

  /// For HttpServer. Thread-safe.
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange);
  /// One line in the log, and the metrics.
  void observe(const HttpRecord& record);
  /// From now on new work is refused.
  void drain() { draining_ = true; }

 private:
  using Exchange = std::shared_ptr<HttpExchange>;
  using Respond = std::function<HttpReply()>;
  using Work = void (Service::*)(const std::string& body, const Exchange& exchange);
  struct Route {
    Respond get = {};     // answered at once
    Work post = nullptr;  // read by a thread of its own
    bool needs_key = true;
  };

  std::map<std::string, Route> make_routes();
  void read(const Route& route, HttpRequest request, Exchange exchange);
  void complete(const std::string& body, const Exchange& exchange);
  void score(const std::string& body, const Exchange& exchange);
  /// Throws nothing; refuses by an answer.
  bool has_model(const std::string& name, const Exchange& exchange) const;
  void submit(Job job, int64_t input_tokens, const Exchange& exchange);
  nlohmann::ordered_json model() const;
  HttpReply ready() const;
  HttpReply draining_reply() const;
  void work();

  const ServiceOptions options_;
  EngineLoop& engine_;
  Metrics& metrics_;
  const int64_t started_;
  std::atomic<bool> draining_ = false;
  const std::map<std::string, Route> routes_;
  BoundedQueue<std::function<void()>> tasks_;
  std::vector<std::thread> readers_;
};

}  // namespace switchyard
