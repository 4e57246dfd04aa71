#include "tests/integration/test_server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/format.h"

namespace switchyard::testing {
namespace {

using Json = nlohmann::json;

std::vector<std::string> serve_words(const std::vector<std::string>& options) {
  std::vector<std::string> words = {"serve", "--port", "0", "--threads", "1"};
  words.insert(words.end(), options.begin(), options.end());
  return words;
}

template <class Done>
bool wait_until(const Done& done) {
  for (int i = 0; i < 6000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

int entries(const std::string& folder) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

}  // namespace

TestServer::TestServer(const std::vector<std::string>& options, const std::string& shell_before)
    : program_(serve_words(options), shell_before) {
  const std::string mark = "listening on http://127.0.0.1:";
  std::string out;
  wait_until([&] {
    out = program_.out_so_far();
    return out.find(mark) != std::string::npos && out.ends_with('\n');
  });
  const size_t found = out.find(mark);
  EXPECT_NE(found, std::string::npos) << "the server did not start: " << out;
  if (found != std::string::npos) port_ = std::atoi(out.c_str() + found + mark.size());
}

HttpAnswer TestServer::get(const std::string& path, const std::string& more_headers) const {
  Connection connection(port_);
  connection.send(http_request("GET", path, "", more_headers));
  return connection.answer();
}

HttpAnswer TestServer::post(const std::string& path, const Json& body,
                            const std::string& more_headers) const {
  Connection connection(port_);
  connection.send(http_request("POST", path, body.dump(), more_headers));
  return connection.answer();
}

Json TestServer::complete(const Json& body) const {
  const HttpAnswer answer = post("/v1/completions", body);
  EXPECT_EQ(answer.status, 200) << answer.body;
  if (answer.status != 200) return {};
  return Json::parse(answer.body)["choices"][0];
}

double TestServer::metric(const std::string& name) const {
  const std::string text = "\n" + get("/metrics").body, line = "\nswitchyard_" + name + " ";
  const size_t found = text.find(line);
  return found == std::string::npos ? 0 : std::atof(text.c_str() + found + line.size());
}

bool TestServer::metric_becomes(const std::string& name, double value) const {
  return wait_until([&] { return metric(name) == value; });
}

int TestServer::threads() const { return entries(format("/proc/{}/task", program_.pid())); }

int TestServer::open_files() const { return entries(format("/proc/{}/fd", program_.pid())); }

double TestServer::memory() const {
  std::ifstream file(format("/proc/{}/statm", program_.pid()));
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

std::vector<Json> events_of(const std::string& body) {
  std::vector<Json> events;
  const std::string begin = "data: ";
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    EXPECT_EQ(body.substr(at, begin.size()), begin);
    if (end == std::string::npos) break;
    const std::string data = body.substr(at + begin.size(), end - at - begin.size());
    at = end + 2;
    if (data == "[DONE]") {
      EXPECT_EQ(at, body.size()) << "something follows the end";
      return events;
    }
    events.push_back(Json::parse(data));
  }
  ADD_FAILURE() << "the stream does not end in [DONE]";
  return events;
}

}  // namespace switchyard::testing
