// What the server refuses, how it ends, and what bad clients can do to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "base/format.h"
#include "base/random.h"
#include "tests/integration/tiny_server.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class ServeLimits : public TinyServer {
 protected:
  /// An error in the form of OpenAI's, with this status.
  static Json error_of_answer(const HttpAnswer& answer, int status) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const Json body = Json::parse(answer.body, nullptr, false);
    EXPECT_TRUE(body.is_object() && body.contains("error")) << answer.body;
    if (!body.is_object() || !body.contains("error")) return {};
    for (const char* key : {"message", "type", "param", "code"}) {
      EXPECT_TRUE(body["error"].contains(key)) << answer.body;
    }
    return body["error"];
  }
  static HttpAnswer send_raw(const std::string& bytes) {
    Connection connection(server_->port());
    connection.send(bytes);
    return connection.answer();
  }
};

TEST_F(ServeLimits, RefusalsNameTheField) {
  const auto refused = [&](const Json& body, int status) {
    return error_of_answer(server_->post("/v1/completions", body), status);
  };
  EXPECT_EQ(refused({{"prompt", "bado"}, {"max_tokens", 0}}, 400)["param"], "max_tokens");
  EXPECT_EQ(refused({{"prompt", "bado"}, {"max_token", 1}}, 400)["param"], "max_token");
  EXPECT_EQ(refused({{"prompt", ""}}, 400)["param"], "prompt");
  EXPECT_EQ(refused(Json::array(), 400)["param"], Json());
  EXPECT_EQ(refused({{"prompt", "bado"}, {"model", "gpt"}}, 404)["code"], "model_not_found");
  std::string lengthy;
  for (int i = 0; i < 5000; ++i) lengthy += "bado kilu ";
  EXPECT_EQ(refused({{"prompt", lengthy}}, 400)["param"], "prompt");
  EXPECT_EQ(error_of_answer(server_->post("/v1/score", {{"input", "bado"}}), 400)["param"],
            "target");
}

TEST_F(ServeLimits, PathsAndMethods) {
  error_of_answer(server_->get("/v1/nothing"), 404);
  error_of_answer(server_->get("/v1/completions"), 405);
  error_of_answer(server_->post("/healthz", {{"a", 1}}), 405);
  error_of_answer(send_raw("POST /v1/completions HTTP/1.1\r\nContent-Type: text/plain\r\n"
                           "Content-Length: 2\r\n\r\n{}"),
                  415);
  Connection head(server_->port());
  head.send("HEAD /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_THAT(head.read_until("\r\n\r\n"), HasSubstr("Content-Length: 3"));
  EXPECT_EQ(head.answer().status, 200);
}

TEST_F(ServeLimits, WhatIsNoRequestIsAnsweredAndClosed) {
  error_of_answer(send_raw("nonsense\r\n\r\n"), 400);
  error_of_answer(send_raw("GET / HTTP/1.1\r\nno colon\r\n\r\n"), 400);
  error_of_answer(send_raw("POST /v1/score HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400);
  error_of_answer(send_raw("POST /v1/score HTTP/1.1\r\nContent-Length: 3\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n"),
                  400);
  error_of_answer(send_raw("GET / HTTP/1.1\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n"), 431);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 2000; ++i) many += format("X-{}: 1234567890\r\n", i);
  error_of_answer(send_raw(many + "\r\n"), 431);
}

// What is neither head nor body, and so counts against neither limit.
TEST_F(ServeLimits, ExtensionsAndTrailersOfChunksHaveALongest) {
  const std::string head = "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0";
  error_of_answer(send_raw(head + "\r\nA: " + std::string(70'000, 'b') + "\r\n\r\n"), 400);
  error_of_answer(send_raw(head + ";" + std::string(70'000, 'a') + "\r\n\r\n"), 400);
  EXPECT_EQ(server_->get("/healthz").status, 200);
}

TEST_F(ServeLimits, ContentTypesAreReadAsTheyAreWritten) {
  const std::string body = Json{{"prompt", {5, 1}}, {"max_tokens", 2}}.dump();
  for (const char* type : {"Application/JSON", "application/json ; charset=utf-8"}) {
    EXPECT_EQ(send_raw(format("POST /v1/completions HTTP/1.1\r\nContent-Type: {}\r\n"
                              "Connection: close\r\nContent-Length: {}\r\n\r\n{}",
                              type, body.size(), body))
                  .status,
              200);
  }
}

TEST_F(ServeLimits, MoreOutputsThanThereIsRoomForAreNamed) {
  TestServer server(options({"--batch-size", "4", "--max-waiting", "4"}));
  const Json body = {{"prompt", {5, 1}}, {"max_tokens", 2}, {"n", 20}};
  error_of_answer(server.post("/v1/completions", body), 400);
}

TEST_F(ServeLimits, BodiesHaveALongest) {
  TestServer server(options({"--max-body-bytes", "1000"}));
  const Json body = {{"prompt", std::string(1200, 'a')}};
  error_of_answer(server.post("/v1/completions", body), 413);
  // Nor can they grow beyond it in chunks.
  Connection chunked(server.port());
  chunked.send(
      "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
      "Content-Type: application/json\r\n\r\n");
  for (int i = 0; i < 5; ++i) chunked.send("fa\r\n" + std::string(250, ' ') + "\r\n");
  error_of_answer(chunked.answer(), 413);
  EXPECT_TRUE(chunked.ends());
  // A client that asks first need not send it.
  Connection asking(server.port());
  asking.send(
      "POST /v1/completions HTTP/1.1\r\nExpect: 100-continue\r\n"
      "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n");
  error_of_answer(asking.answer(), 413);
  Connection allowed(server.port());
  const std::string small = Json{{"prompt", {5, 1}}, {"max_tokens", 2}}.dump();
  allowed.send(
      format("POST /v1/completions HTTP/1.1\r\nExpect: 100-continue\r\n"
             "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
             small.size()));
  EXPECT_EQ(allowed.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  allowed.send(small);
  EXPECT_EQ(allowed.answer().status, 200);
}

TEST_F(ServeLimits, KeysOpenTheApi) {
  write_file(*folder_ / "keys", "alpha\nbeta\n");
  TestServer server(options({"--api-key-file", *folder_ / "keys"}));
  const Json body = {{"prompt", {5, 1}}, {"max_tokens", 2}};
  EXPECT_EQ(error_of_answer(server.post("/v1/completions", body), 401)["code"], "invalid_api_key");
  error_of_answer(server.get("/v1/models", "Authorization: Bearer gamma\r\n"), 401);
  EXPECT_EQ(server.post("/v1/completions", body, "Authorization: Bearer beta\r\n").status, 200);
  for (const char* open : {"/", "/healthz", "/readyz", "/metrics"}) {
    EXPECT_EQ(server.get(open).status, 200) << open;
  }
  TestServer by_variable(options(), "export SWITCHYARD_API_KEY=delta");
  EXPECT_EQ(by_variable.get("/v1/models").status, 401);
  EXPECT_EQ(by_variable.get("/v1/models", "Authorization: Bearer delta\r\n").status, 200);
  by_variable.program().signal(SIGTERM);
  EXPECT_THAT(by_variable.program().wait().err, Not(HasSubstr("delta")));
}

TEST_F(ServeLimits, AFullQueueAndALongRequestAreRefused) {
  TestServer server(options({"--batch-size", "1", "--max-waiting", "1", "--request-seconds", "1"}));
  Connection first(server.port()), second(server.port());
  first.send(http_request("POST", "/v1/completions", endless(100'000).dump()));
  second.send(http_request("POST", "/v1/completions", endless(100'000, true).dump()));
  ASSERT_TRUE(server.metric_becomes("queue_depth", 1));
  const HttpAnswer refused = server.post("/v1/completions", endless(1));
  EXPECT_EQ(error_of_answer(refused, 429)["code"], "queue_full");
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(server.get("/healthz").status, 200);
  EXPECT_EQ(error_of_answer(first.answer(), 504)["type"], "timeout_error");
  // The second had no time of its own in the batch, or ended within a stream.
  const HttpAnswer late = second.answer();
  if (late.status == 504) {
    EXPECT_EQ(error_of_answer(late, 504)["code"], "timeout");
  } else {
    EXPECT_NE(late.body.find("data: {\"error\":"), std::string::npos);
  }
  EXPECT_TRUE(server.metric_becomes("running", 0));
  EXPECT_EQ(server.post("/v1/completions", endless(1)).status, 200);
}

TEST_F(ServeLimits, AClientThatLeavesIsTakenOutOfTheBatch) {
  const double before = server_->metric("cancelled_total{reason=\"disconnected\"}");
  for (const bool streams : {true, false}) {
    Connection client(server_->port());
    client.send(http_request("POST", "/v1/completions", endless(100'000, streams).dump()));
    if (streams) {
      client.read_until("data: ");
    } else {
      ASSERT_TRUE(server_->metric_becomes("running", 1));
    }
    client.close();
    EXPECT_TRUE(server_->metric_becomes("running", 0));
  }
  EXPECT_EQ(server_->metric("cancelled_total{reason=\"disconnected\"}"), before + 2);
}

TEST_F(ServeLimits, AClientThatTakesNothingIsDropped) {
  TestServer server(options({"--write-seconds", "0.2"}));
  // More than the system takes in its stead, less than ends an answer by itself.
  Json body = endless(2000, true);
  body["logprobs"] = 20;
  Connection client(server.port(), 4096);
  client.send(http_request("POST", "/v1/completions", body.dump()));
  client.read_until("data: ");
  EXPECT_TRUE(server.metric_becomes("requests_total{path=\"/v1/completions\",status=\"499\"}", 1));
  // One that could go on and on is ended by what is waiting to be taken.
  TestServer patient(options());
  Connection other(patient.port(), 4096);
  body["max_tokens"] = 100'000;
  other.send(http_request("POST", "/v1/completions", body.dump()));
  EXPECT_TRUE(patient.metric_becomes("cancelled_total{reason=\"disconnected\"}", 1));
  EXPECT_TRUE(patient.metric_becomes("running", 0));
}

TEST_F(ServeLimits, SlowRequestsAreCutOff) {
  TestServer server(options({"--read-seconds", "0.3"}));
  Connection nothing(server.port()), part(server.port()), body(server.port());
  part.send("GET /healthz HT");
  body.send("POST /v1/score HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_TRUE(nothing.ends());
  EXPECT_TRUE(part.ends());
  EXPECT_TRUE(body.ends());
}

TEST_F(ServeLimits, StalledClientsKeepNobodyWaiting) {
  TestServer server(options({"--read-seconds", "600"}));
  const int threads = server.threads();
  std::vector<std::unique_ptr<Connection>> stalled;
  for (int i = 0; i < 300; ++i) {
    stalled.push_back(std::make_unique<Connection>(server.port()));
    stalled.back()->send(i % 3 == 0   ? "GET /"
                         : i % 3 == 1 ? "POST /v1/score HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"
                                      : "");
  }
  EXPECT_TRUE(server.metric_becomes("connections", 301));
  EXPECT_EQ(server.complete(endless(5))["finish_reason"], "length");
  EXPECT_EQ(server.get("/healthz").status, 200);
  EXPECT_EQ(server.threads(), threads);
  stalled.clear();
  EXPECT_TRUE(server.metric_becomes("connections", 1));
  EXPECT_LT(server.open_files(), 100);
}

TEST_F(ServeLimits, ConnectionsHaveAMost) {
  TestServer server(options({"--max-connections", "3", "--read-seconds", "600"}));
  Connection first(server.port()), second(server.port());
  ASSERT_TRUE(server.metric_becomes("connections", 3));
  // The connection that asked for the metric may not be gone yet.
  const auto connect = [&] {
    for (int i = 0; i < 1000; ++i) {
      auto made = std::make_unique<Connection>(server.port());
      made->send(http_request("GET", "/healthz"));
      if (made->answer().status == 200) return made;
    }
    return std::unique_ptr<Connection>();
  };
  const auto third = connect();
  ASSERT_TRUE(third);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Connection(server.port()).ends());
  }
  first.close();
  EXPECT_TRUE(connect());
}

TEST_F(ServeLimits, RequestsMayFollowEachOtherOnAConnection) {
  Connection client(server_->port());
  std::string both = http_request("POST", "/v1/completions", endless(3).dump());
  both += http_request("GET", "/healthz") + http_request("GET", "/nothing");
  both += http_request("POST", "/v1/completions", endless(2, true).dump());
  ASSERT_TRUE(client.send(both));
  EXPECT_EQ(Json::parse(client.answer().body)["usage"]["completion_tokens"], 3);
  EXPECT_EQ(client.answer().body, "ok\n");
  EXPECT_EQ(client.answer().status, 404);
  EXPECT_EQ(events_of(client.answer().body).size(), 3u);
  // The old protocol has no chunks: the end of the connection ends the answer.
  const std::string body = endless(2, true).dump();
  Connection old(server_->port());
  old.send(
      format("POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
             "Content-Length: {}\r\n\r\n{}",
             body.size(), body));
  EXPECT_EQ(events_of(old.answer().body).size(), 3u);
}

TEST_F(ServeLimits, StopsWhenWhatItAcceptedIsDone) {
  TestServer server(options({"--drain-seconds", "600"}));
  // As long as this one is there, the server has not stopped.
  Connection idle(server.port()), endless_one(server.port()), streaming(server.port());
  endless_one.send(http_request("POST", "/v1/completions", endless(100'000, true).dump()));
  endless_one.read_until("data: ");
  std::vector<std::unique_ptr<Connection>> whole;
  for (int i = 0; i < 20; ++i) {
    whole.push_back(std::make_unique<Connection>(server.port()));
    whole.back()->send(http_request("POST", "/v1/completions", endless(250 + i).dump()));
  }
  streaming.send(http_request("POST", "/v1/completions", endless(300, true).dump()));
  ASSERT_TRUE(server.metric_becomes("input_tokens_total", 3 * 22));
  server.program().signal(SIGTERM);
  EXPECT_TRUE(idle.ends());
  const HttpAnswer refused = server.post("/v1/completions", endless(1));
  EXPECT_EQ(error_of_answer(refused, 503)["code"], "draining");
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(refused.headers.at("connection"), "close");
  EXPECT_EQ(server.get("/readyz").status, 503);
  EXPECT_EQ(server.get("/healthz").status, 200);
  for (int i = 0; i < 20; ++i) {
    const HttpAnswer answer = whole[static_cast<size_t>(i)]->answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(Json::parse(answer.body)["usage"]["completion_tokens"], 250 + i);
  }
  EXPECT_EQ(events_of(streaming.answer().body).size(), 301u);
  endless_one.close();
  EXPECT_EQ(server.program().wait().exit_code, 0);
}

TEST_F(ServeLimits, DoesNotWaitLongerThanItMay) {
  TestServer server(options({"--drain-seconds", "0.2"}));
  Connection whole(server.port()), streaming(server.port());
  whole.send(http_request("POST", "/v1/completions", endless(100'000).dump()));
  streaming.send(http_request("POST", "/v1/completions", endless(100'000, true).dump()));
  streaming.read_until("data: ");
  ASSERT_TRUE(server.metric_becomes("running", 2));
  server.program().signal(SIGINT);
  error_of_answer(whole.answer(), 503);
  EXPECT_TRUE(streaming.read_until("\"draining\"").ends_with("\"draining\""));
  EXPECT_EQ(server.program().wait().exit_code, 0);
}

TEST_F(ServeLimits, ASecondSignalEndsAtOnce) {
  TestServer server(options());
  Connection client(server.port());
  client.send(http_request("POST", "/v1/completions", endless(100'000, true).dump()));
  client.read_until("data: ");
  server.program().signal(SIGTERM);
  const HttpAnswer ready = [&] {
    HttpAnswer answer = server.get("/readyz");
    while (answer.status == 200) answer = server.get("/readyz");
    return answer;
  }();
  EXPECT_EQ(ready.status, 503);
  server.program().signal(SIGTERM);
  const ProgramResult ended = server.program().wait();
  EXPECT_EQ(ended.exit_code, 128 + SIGTERM) << ended.err;
}

TEST_F(ServeLimits, MistakesOfTheCommandLine) {
  EXPECT_EQ(run_program({"serve", "--help"}).exit_code, 0);
  EXPECT_EQ(run_program({"serve", "--model", *folder_ / "none"}).exit_code, 2);
  const ProgramResult taken =
      run_program({"serve", "--model", run(), "--port", std::to_string(server_->port())});
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_THAT(taken.err, HasSubstr("cannot listen: Address already in use"));
  EXPECT_EQ(
      run_program({"serve", "--model", run(), "--host", "256.1.1.1", "--port", "0"}).exit_code, 2);
  write_file(*folder_ / "empty", "\n");
  EXPECT_EQ(
      run_program({"serve", "--model", run(), "--api-key-file", *folder_ / "empty"}).exit_code, 2);
}

/// What a client that is up to no good, or just broken, may do. `kind` and the random stream
/// decide.
void misbehave(const TestServer& server, const Json& endless, const RandomStream& random,
               uint64_t round) {
  uint64_t drawn = round << 20;
  const auto draw = [&](uint64_t below) { return random.bits64(drawn++) % below; };
  Connection client(server.port(), draw(4) == 0 ? 4096 : 0);
  if (!client.connected()) return;
  const std::string request = http_request("POST", "/v1/completions", endless.dump());
  switch (draw(10)) {
    case 0:  // comes and goes
      break;
    case 1:  // half a request
      client.send(request.substr(0, draw(request.size())));
      break;
    case 2:  // leaves before or within its answer
      client.send(request);
      if (draw(2)) client.read_until("data: ");
      break;
    case 3:  // closes its own direction
      client.send(request);
      client.shutdown_write();
      if (draw(2)) client.ends();
      break;
    case 4: {  // flipped bytes
      std::string wrong = request;
      for (int i = 0; i < 5; ++i) wrong[draw(wrong.size())] = static_cast<char>(draw(256));
      client.send(wrong);
      client.shutdown_write();
      client.ends();
      break;
    }
    case 5:  // a head without end
      client.send("GET / HTTP/1.1\r\n" + std::string(draw(60'000), 'x'));
      break;
    case 6:  // a body beyond all limits
      client.send("POST /v1/score HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" +
                  std::string(2000, 'x'));
      client.answer();
      break;
    case 7:  // many requests at once, no answer read
      for (int i = 0; i < 20; ++i) client.send(http_request("GET", "/metrics"));
      break;
    case 8:  // random bytes
      for (std::string bytes(draw(3000), ' '); true;) {
        for (char& byte : bytes) byte = static_cast<char>(draw(256));
        client.send(bytes);
        break;
      }
      break;
    default:  // byte by byte
      for (size_t i = 0; i < 20; ++i) client.send(request.substr(i, 1));
      break;
  }
  if (draw(3) == 0) client.reset();
}

/// SWITCHYARD_HOSTILE_CLIENTS: how many, default 300.
TEST_F(ServeLimits, BadClientsHarmNoOthers) {
  const char* wanted = std::getenv("SWITCHYARD_HOSTILE_CLIENTS");
  const uint64_t rounds = wanted ? std::strtoull(wanted, nullptr, 10) : 300;
  TestServer server(options({"--read-seconds", "5", "--max-waiting", "100000"}));
  const Json good = endless(40);
  const Json expected = server.complete(good);
  const Json bad = endless(100'000, true);
  std::atomic<uint64_t> next = 0;
  std::atomic<bool> over = false;
  const auto attack = [&] {
    const RandomStream random(7, kRandomDecode, 1, 1);
    for (uint64_t round; (round = next++) < rounds;) misbehave(server, bad, random, round);
  };
  // Memory and threads settle in a first part, and must stay so in the rest.
  uint64_t answered = 0;
  std::thread good_client([&] {
    while (!over) {
      EXPECT_EQ(server.complete(good), expected);
      EXPECT_EQ(server.get("/healthz").status, 200);
      ++answered;
    }
  });
  const auto attack_by = [&](uint64_t count) {
    const uint64_t all = rounds;
    std::vector<std::thread> attackers;
    for (uint64_t i = 0; i < count; ++i) attackers.emplace_back(attack);
    for (std::thread& attacker : attackers) attacker.join();
    EXPECT_GE(next, all);
  };
  const int threads = server.threads();
  attack_by(4);
  const double memory = server.memory();
  next = 0;
  attack_by(4);
  over = true;
  good_client.join();
  EXPECT_TRUE(server.metric_becomes("running", 0));
  EXPECT_TRUE(server.metric_becomes("connections", 1));  // that which asks
  EXPECT_GT(answered, 3u);
  EXPECT_EQ(server.threads(), threads);
  EXPECT_LT(server.memory(), memory + 32e6);
  EXPECT_EQ(server.complete(good), expected);
  std::printf("%lu bad clients twice, %lu good answers between; memory %.1f MB, then %.1f MB\n",
              rounds, answered, memory / 1e6, server.memory() / 1e6);
  server.program().signal(SIGTERM);
  EXPECT_EQ(server.program().wait().exit_code, 0);
}

}  // namespace
}  // namespace switchyard::testing
