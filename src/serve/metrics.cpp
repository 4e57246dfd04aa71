#include "serve/metrics.h"

#include <algorithm>

#include "base/format.h"
#include "base/threads.h"

namespace switchyard {
namespace {

const std::vector<double> kLatencies = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                        1,     2.5,  5,     10,   30,  60,   120};
const std::vector<double> kStepTimes = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                        0.05,   0.1,   0.25,   0.5,   1,    2.5};
const std::vector<double> kRows = {1, 2, 4, 8, 16, 32, 64, 128, 256};

void write_head(const char* name, const char* type, const char* help, std::string& out) {
  out += format("# HELP switchyard_{} {}\n# TYPE switchyard_{} {}\n", name, help, name, type);
}

template <class Value>
void write_value(const char* name, const char* type, const char* help, Value value,
                 std::string& out) {
  write_head(name, type, help, out);
  out += format("switchyard_{} {}\n", name, value);
}

void write_histogram(const char* name, const char* help, const Histogram& histogram,
                     std::string& out) {
  write_head(name, "histogram", help, out);
  histogram.write(format("switchyard_{}", name), out);
}

}  // namespace

Histogram::Histogram(std::vector<double> limits)
    : limits_(std::move(limits)), counts_(limits_.size() + 1) {}

void Histogram::add(double value) {
  const auto limit = std::lower_bound(limits_.begin(), limits_.end(), value);
  ++counts_[static_cast<size_t>(limit - limits_.begin())];
  sum_ += value;
}

void Histogram::write(const std::string& name, std::string& out) const {
  uint64_t total = 0;
  for (size_t i = 0; i < limits_.size(); ++i) {
    total += counts_[i];
    out += format("{}_bucket{{le=\"{}\"}} {}\n", name, limits_[i], total);
  }
  total += counts_.back();
  out += format("{}_bucket{{le=\"+Inf\"}} {}\n{}_sum {}\n{}_count {}\n", name, total, name, sum_,
                name, total);
}

Metrics::Metrics()
    : request_seconds_(kLatencies),
      first_token_seconds_(kLatencies),
      batch_rows_(kRows),
      step_seconds_(kStepTimes) {}

void Metrics::add_request(const std::string& path, int status, double seconds) {
  const std::lock_guard lock(mutex_);
  ++requests_[{path, status}];
  // Latency is that of work done: pages, health checks and refusals would only blur it.
  if (status == 200 && (path == "/v1/completions" || path == "/v1/score")) {
    request_seconds_.add(seconds);
  }
}

void Metrics::add_first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_seconds_.add(seconds);
}

void Metrics::add_input_tokens(int64_t count) {
  const std::lock_guard lock(mutex_);
  input_tokens_ += static_cast<uint64_t>(count);
}

void Metrics::add_step(int64_t rows, int64_t ids, double seconds) {
  const std::lock_guard lock(mutex_);
  output_tokens_ += static_cast<uint64_t>(ids);
  batch_rows_.add(static_cast<double>(rows));
  step_seconds_.add(seconds);
}

void Metrics::set_queue(int64_t running, int64_t waiting) {
  const std::lock_guard lock(mutex_);
  running_ = running;
  waiting_ = waiting;
}

void Metrics::set_expert_use(std::vector<ExpertUse> use) {
  const std::lock_guard lock(mutex_);
  expert_use_ = std::move(use);
}

void Metrics::set_connections(int64_t open) {
  const std::lock_guard lock(mutex_);
  connections_ = open;
}

void Metrics::add_cancelled(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  ++cancelled_[reason];
}

std::string Metrics::text() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  write_head("requests_total", "counter", "Answers by path and status.", out);
  for (const auto& [key, count] : requests_) {
    out += format("switchyard_requests_total{{path=\"{}\",status=\"{}\"}} {}\n", key.first,
                  key.second, count);
  }
  write_head("cancelled_total", "counter", "Requests that left the batch early.", out);
  for (const auto& [reason, count] : cancelled_) {
    out += format("switchyard_cancelled_total{{reason=\"{}\"}} {}\n", reason, count);
  }
  write_value("queue_depth", "gauge", "Outputs that wait for a place in the batch.", waiting_, out);
  write_value("running", "gauge", "Outputs that are being decoded.", running_, out);
  write_value("connections", "gauge", "Open connections.", connections_, out);
  write_value("input_tokens_total", "counter", "Tokens of accepted inputs.", input_tokens_, out);
  write_value("output_tokens_total", "counter", "Tokens written, those of scored targets too.",
              output_tokens_, out);
  write_histogram("batch_rows", "Outputs extended by a decoding step.", batch_rows_, out);
  write_histogram("step_seconds", "Time of a decoding step, with the inputs it let in.",
                  step_seconds_, out);
  write_histogram("request_seconds", "Time from reading a completion or score to its last byte.",
                  request_seconds_, out);
  write_histogram("first_token_seconds", "Time from accepting a completion to its first token.",
                  first_token_seconds_, out);
  write_head("expert_tokens_total", "counter", "Tokens by routed layer and expert.", out);
  for (const ExpertUse& layer : expert_use_) {
    for (size_t e = 0; e < layer.tokens.size(); ++e) {
      out += format("switchyard_expert_tokens_total{{layer=\"{}\",expert=\"{}\"}} {}\n",
                    layer.layer, e, layer.tokens[e]);
    }
  }
  write_value("peak_memory_bytes", "gauge", "Most memory the process has had.", peak_memory(), out);
  return out;
}

}  // namespace switchyard
