// A tiny model to serve, made once for all tests of a program.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/integration/test_server.h"
#include "tests/integration/tiny_run.h"

namespace switchyard::testing {

class TinyServer : public ::testing::Test {
 protected:
  using Json = nlohmann::json;

  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    make_tiny_data(*folder_);
    // Hardly trained, so that greedy outputs go on and on; no token is dropped at these capacities.
    const ProgramResult trained = run_program(tiny_train_command(
        *folder_, run(),
        {"train.steps=1", "train.evaluate_every=0", "train.checkpoint_every=0",
         "model.moe.capacity_factor_eval=4", "model.init_scale=1", "model.vocab_size=400"},
        "1"));
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
    server_ = std::make_unique<TestServer>(options());
    find_endless_prompt();
  }
  static void TearDownTestSuite() {
    server_.reset();
    folder_.reset();
  }

  static std::string run() { return *folder_ / "run"; }
  static std::vector<std::string> options(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {
        "--model", run(), "--precision", "fp32", "--max-output-tokens", "100000"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  /// A prompt whose greedy output never reaches EOS, as it repeats itself.
  static void find_endless_prompt() {
    for (int id = 3; id < 60; ++id) {
      endless_ = {{"prompt", {id, id + 1, 1}}, {"max_tokens", 5000}};
      if (server_->complete(endless_)["finish_reason"] == "length") return;
    }
    FAIL() << "no prompt with an endless output";
  }
  static Json endless(int64_t max_tokens, bool stream = false) {
    Json body = endless_;
    body["max_tokens"] = max_tokens;
    body["stream"] = stream;
    return body;
  }

  static std::unique_ptr<TemporaryFolder> folder_;
  static std::unique_ptr<TestServer> server_;
  static Json endless_;
};

inline std::unique_ptr<TemporaryFolder> TinyServer::folder_;
inline std::unique_ptr<TestServer> TinyServer::server_;
inline nlohmann::json TinyServer::endless_;

}  // namespace switchyard::testing
