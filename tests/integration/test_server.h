// A server at work, for tests.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/integration/http_client.h"
#include "tests/integration/program.h"

namespace switchyard::testing {

class TestServer {
 public:
  /// `switchyard serve` with these options on a free port; ready when this returns.
  explicit TestServer(const std::vector<std::string>& options,
                      const std::string& shell_before = {});

  int port() const { return port_; }
  Program& program() { return program_; }
  HttpAnswer get(const std::string& path, const std::string& more_headers = {}) const;
  HttpAnswer post(const std::string& path, const nlohmann::json& body,
                  const std::string& more_headers = {}) const;
  /// The first choice of a completion, which must succeed.
  nlohmann::json complete(const nlohmann::json& body) const;
  /// A value of GET /metrics; 0 if there is none of that name and labels.
  double metric(const std::string& name) const;
  /// Waits until a metric has this value; false after 60 seconds.
  bool metric_becomes(const std::string& name, double value) const;
  /// Threads and open files of its process.
  int threads() const;
  int open_files() const;
  /// Resident memory in bytes.
  double memory() const;

 private:
  Program program_;
  int port_ = 0;
};

/// The JSON of the events of a stream; the closing [DONE] must be there and is left out.
std::vector<nlohmann::json> events_of(const std::string& body);

}  // namespace switchyard::testing
