// What a server counts and measures, as text for Prometheus.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "infer/engine/inference_model.h"

namespace switchyard {

/// Counts of values by upper limits. Not thread-safe.
class Histogram {
 public:
  /// `limits` ascending.
  explicit Histogram(std::vector<double> limits);
  void add(double value);
  /// Lines of a metric `name` without its head.
  void write(const std::string& name, std::string& out) const;

 private:
  std::vector<double> limits_;
  std::vector<uint64_t> counts_;  // per limit, then of what is above all
  double sum_ = 0;
};

/// Thread-safe.
class Metrics {
 public:
  Metrics();
  /// `path`: one of a fixed set. `status`: 499 where the client left before its answer.
  void add_request(const std::string& path, int status, double seconds);
  /// From accepting a request to its first new id.
  void add_first_token(double seconds);
  void add_input_tokens(int64_t count);
  /// After a step over `rows` outputs that wrote `ids`; the others have read an id of a prefix.
  void add_step(int64_t rows, int64_t ids, double seconds);
  void set_queue(int64_t running, int64_t waiting);
  void set_expert_use(std::vector<ExpertUse> use);
  void set_connections(int64_t open);
  /// Requests that left the batch early: "disconnected", "timeout", "stopped".
  void add_cancelled(const std::string& reason);

  /// Prometheus' text format, version 0.0.4.
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  std::map<std::string, uint64_t> cancelled_;
  Histogram request_seconds_, first_token_seconds_, batch_rows_, step_seconds_;
  uint64_t input_tokens_ = 0, output_tokens_ = 0;
  int64_t running_ = 0, waiting_ = 0, connections_ = 0;
  std::vector<ExpertUse> expert_use_;
};

}  // namespace switchyard
