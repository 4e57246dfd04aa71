// switchyard serve: answers over HTTP.
#include "commands.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/log.h"
#include "base/stop_signal.h"
#include "engine_command.h"
#include "infer/engine/expert_choice.h"
#include "infer/engine/inference_model.h"
#include "lines.h"
#include "model/model_directory.h"
#include "serve/api_error.h"
#include "serve/http_server.h"
#include "serve/service.h"
#include "train/evaluation.h"
#include "train/process_setup.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

constexpr const char* kKeyVariable = "SWITCHYARD_API_KEY";

struct ServeCommand {
  std::string model, model_name, precision = "bf16-selective", api_key_file;
  HttpOptions http;
  RequestLimits limits;
  EngineLimits engine;
  EngineOptions computing;
  double drain_seconds = 30;
};

/// The last part of the path that is given, or of the run's around it.
std::string default_name(const std::string& path) {
  const auto full = std::filesystem::weakly_canonical(path);
  return full.filename().empty() ? full.parent_path().filename() : full.filename();
}

ApiKeys read_keys(const std::string& file) {
  if (!file.empty()) return ApiKeys(read_file(file), file);
  const char* key = std::getenv(kKeyVariable);
  return key ? ApiKeys(key, format("environment variable {}", kKeyVariable)) : ApiKeys();
}

std::shared_ptr<const InferenceWeights> load_weights(const std::string& directory,
                                                     Precision precision) {
  const std::string obstacle = batch_dependence(read_model_description(directory).config.moe);
  if (!obstacle.empty()) {
    throw usage_error("this model cannot be served: " + obstacle, directory,
                      "`switchyard generate` decodes it");
  }
  return map_weights(directory, precision);
}

/// The parts of a server, and how it ends. The thread that runs it is the one that computes.
class Server {
 public:
  Server(const ServeCommand& command, int threads) : command_(command) {
    const std::string directory = find_model_directory(command.model);
    ApiKeys keys = read_keys(command.api_key_file);
    warn_about_strangers(keys);
    const std::string tokenizer = directory + "/" + kTokenizerFile;
    if (std::filesystem::exists(tokenizer)) tokenizer_.emplace(tokenizer);
    prepare_process(threads);
    model_.emplace(load_weights(directory, parse_precision(command.precision)), command.computing);
    if (tokenizer_) check_vocabulary(model_->config(), tokenizer_->vocab_size(), tokenizer);
    engine_.emplace(*model_, command.engine, metrics_);
    service_.emplace(service_options(std::move(keys)), *engine_, metrics_);
    http_.emplace(command.http, callbacks());
  }

  ~Server() {
    // Where run() was left by an error. Jobs hold exchanges of the HTTP server.
    if (engine_) {
      engine_->end();  // requests still being read are refused
      engine_->fail_all(JobFailure::kStopped);
    }
    if (http_) http_->stop();
  }

  void run() {
    install_stop_handlers();
    http_->start();
    print_line("listening on http://" + http_->address());
    std::fflush(stdout);
    engine_->run([this] { look_for_signal(); });
    // Answers may still be on their way to slow clients.
    while (http_->active() > 0 && !late(kGraceSeconds)) std::this_thread::sleep_for(kPoll);
    http_->stop();
    log_info("stopped");
  }

 private:
  static constexpr auto kPoll = std::chrono::milliseconds(10);
  static constexpr double kGraceSeconds = 1;  // to tell those whose time is over

  ServiceOptions service_options(ApiKeys keys) const {
    ServiceOptions options;
    options.keys = std::move(keys);
    options.limits = command_.limits;
    options.limits.vocab_size = model_->config().vocab_size;
    // More would never find room.
    options.limits.choices =
        std::min(options.limits.choices, command_.engine.rows + command_.engine.waiting);
    options.context.model =
        command_.model_name.empty() ? default_name(command_.model) : command_.model_name;
    options.context.tokenizer = tokenizer_ ? &*tokenizer_ : nullptr;
    options.context.num_experts = model_->config().moe.num_experts;
    for (const ExpertUse& layer : model_->expert_use()) {
      options.context.layers.push_back(layer.layer);
    }
    return options;
  }

  HttpServer::Callbacks callbacks() {
    return {[this](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
              service_->handle(std::move(request), std::move(exchange));
            },
            [](int status, const std::string& message) { return error_reply(status, message); },
            [this](const HttpRecord& record) { service_->observe(record); },
            [this](int64_t open) { metrics_.set_connections(open); }};
  }

  void warn_about_strangers(const ApiKeys& keys) const {
    const std::string& host = command_.http.host;
    const bool own = host.starts_with("127.") || host == "::1" || host == "localhost";
    if (!own && !keys.required()) {
      log_warning(
          "{} can be reached from elsewhere and no API key is asked for: anybody may use "
          "this server (--api-key-file)",
          host);
    }
  }

  void look_for_signal() {
    if (stop_signal() != 0 && !stopping_) {
      stopping_ = Clock::now();
      log_info("stopping: finishing what was accepted, at most {} s", command_.drain_seconds);
      service_->drain();
      http_->drain();
      engine_->end();
    }
    if (late(0)) engine_->fail_all(JobFailure::kStopped);
  }

  bool late(double grace) const {
    return stopping_ && seconds_since(*stopping_) > command_.drain_seconds + grace;
  }

  const ServeCommand& command_;
  Metrics metrics_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<InferenceModel> model_;
  std::optional<EngineLoop> engine_;
  // Requests being read hold exchanges of the HTTP server, and it calls the service: the service's
  // threads end first, the server's own was stopped before.
  std::optional<HttpServer> http_;
  std::optional<Service> service_;
  std::optional<Clock::time_point> stopping_;
};

void add_limits(CLI::App& command, ServeCommand& options) {
  const auto number = [&](const char* name, int64_t& value, int64_t most, const char* help) {
    command.add_option(name, value, help)
        ->check(CLI::Range(int64_t{1}, most))
        ->option_text(format("N={}", value));
  };
  const auto seconds = [&](const char* name, double& value, const char* help) {
    command.add_option(name, value, help)
        ->check(CLI::Range(0.01, 1e6))
        ->option_text(format("SECONDS={}", value));
  };
  number("--batch-size", options.engine.rows, 1 << 12, "Outputs decoded together");
  number("--max-waiting", options.engine.waiting, 1 << 20,
         "Outputs that may wait for a place in the batch; beyond them requests get status 429");
  number("--max-input-tokens", options.limits.input_tokens, 1 << 20,
         "Longest input, and target of a score");
  number("--max-output-tokens", options.limits.output_tokens, 1 << 20, "Largest max_tokens");
  number("--max-choices", options.limits.choices, 1 << 12,
         "Most outputs of a request: prompts times n");
  number("--max-body-bytes", options.http.max_body_bytes, 1 << 30, "Longest body of a request");
  number("--max-connections", options.http.max_connections, 1 << 16,
         "Open connections; more are closed as they come");
  seconds("--request-seconds", options.engine.job_seconds,
          "Longest time of a request from being accepted to its end");
  seconds("--read-seconds", options.http.read_seconds,
          "Time for a client to send a request, and between two of a connection");
  seconds("--write-seconds", options.http.write_seconds,
          "Time for a client to take what is sent to it");
  seconds("--drain-seconds", options.drain_seconds,
          "Time for accepted requests to finish after SIGTERM or SIGINT");
}

}  // namespace

void add_serve_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("serve", "Answer over HTTP, as OpenAI's completions do");
  command->footer(
      "POST /v1/completions and /v1/score, GET /v1/models, /healthz, /readyz, /metrics, and a page "
      "at /. docs/serving.md has all fields, limits and metrics. SIGTERM and SIGINT let accepted "
      "requests finish; a second one ends at once. API keys, one a line, come from --api-key-file "
      "or the environment's SWITCHYARD_API_KEY.");
  auto state = std::make_shared<ServeCommand>();
  command->add_option("--model", state->model, "Model directory, or a run: its newest checkpoint")
      ->required()
      ->option_text("DIR");
  command->add_option("--host", state->http.host, "Name or address to listen on")
      ->option_text("HOST=127.0.0.1");
  command->add_option("--port", state->http.port, "0: a free one, printed on standard output")
      ->check(CLI::Range(0, 65535))
      ->option_text("N=8080");
  command
      ->add_option("--model-name", state->model_name, "What clients call it; default: DIR's name")
      ->option_text("NAME");
  command->add_option("--api-key-file", state->api_key_file, "Keys that clients need for /v1/")
      ->option_text("FILE");
  command->add_option("--precision", state->precision, "bf16-selective or fp32")
      ->check(CLI::IsMember({"bf16-selective", "fp32"}))
      ->option_text("NAME=bf16-selective");
  add_engine_options(*command, state->computing);
  add_limits(*command, *state);
  command->callback([state, &global] { Server(*state, global.thread_count()).run(); });
}

}  // namespace switchyard
