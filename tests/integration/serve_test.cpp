// What the server answers: the same as `generate` and `score`, whole and in parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "base/files.h"
#include "base/format.h"
#include "tests/integration/tiny_server.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class ServeProgram : public TinyServer {
 protected:
  /// What `generate` makes of one line.
  Json generated(const Json& line, const std::vector<std::string>& options) {
    write_file(own_ / "line.jsonl", line.dump() + "\n");
    std::vector<std::string> words = {"generate",  "--model", run(),     "--precision",      "fp32",
                                      "--threads", "1",       "--input", own_ / "line.jsonl"};
    words.insert(words.end(), options.begin(), options.end());
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return Json::parse(result.out);
  }

  static Json stream(Json body) {
    body["stream"] = true;
    const HttpAnswer answer = server_->post("/v1/completions", body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.headers.at("content-type"), "text/event-stream");
    return events_of(answer.body);
  }

  TemporaryFolder own_;
};

TEST_F(ServeProgram, CompletionsAreWhatGenerateWrites) {
  const std::string text = "bado <extra_id_0> kilu.";
  const Json greedy = generated({{"input", text}}, {"--max-new-tokens", "20"});
  const Json choice =
      server_->complete({{"prompt", text}, {"max_tokens", 20}, {"return_token_ids", true}});
  EXPECT_EQ(choice["text"], greedy["output"]);
  EXPECT_EQ(choice["token_ids"], greedy["output_ids"]);
  EXPECT_NEAR(choice["log_prob"].get<double>(), greedy["log_prob"].get<double>(), 1e-6);

  const Json ids = {20, 17, 299, 40, 1};
  const Json shaped =
      generated({{"input_ids", ids}}, {"--max-new-tokens", "20", "--prefix", "kilu",
                                       "--no-repeat-ngram", "2", "--repetition-penalty", "1.5"});
  const Json shaped_choice = server_->complete({{"prompt", ids},
                                                {"max_tokens", 20},
                                                {"prefix", "kilu"},
                                                {"no_repeat_ngram", 2},
                                                {"repetition_penalty", 1.5},
                                                {"return_token_ids", true}});
  EXPECT_EQ(shaped_choice["token_ids"], shaped["output_ids"]);
  EXPECT_EQ(shaped_choice["text"], shaped["output"]);
}

TEST_F(ServeProgram, DrawsAreThoseOfGenerate) {
  const std::string text = "bado <extra_id_0> kilu.";
  const ProgramResult printed =
      run_program({"generate", "--model", run(), "--precision", "fp32", "--threads", "1", "--text",
                   text, "--max-new-tokens", "12", "--seed", "5", "--temperature", "2"});
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  const Json body = {{"prompt", text}, {"max_tokens", 12}, {"seed", 5}, {"temperature", 2}};
  EXPECT_EQ(server_->complete(body)["text"].get<std::string>() + "\n", printed.out);
  Json several = body;
  several["n"] = 4;
  const Json answer = Json::parse(server_->post("/v1/completions", several).body);
  ASSERT_EQ(answer["choices"].size(), 4u);
  EXPECT_EQ(answer["choices"][0]["text"], server_->complete(body)["text"]);
  std::set<std::string> texts;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(answer["choices"][i]["index"], i);
    texts.insert(answer["choices"][i]["text"].get<std::string>());
  }
  EXPECT_EQ(texts.size(), 4u);
}

TEST_F(ServeProgram, AnswersDoNotDependOnWhatIsAskedBeside) {
  const auto body = [](int number) {
    Json made = {
        {"prompt", Json::array()}, {"max_tokens", 10 + number}, {"return_token_ids", true}};
    for (int i = 0; i < 3 + number; ++i) made["prompt"].push_back(3 + (number * 31 + i * 17) % 290);
    if (number % 2 == 1) made["seed"] = number;
    return made;
  };
  std::vector<Json> alone, together(16);
  for (int i = 0; i < 16; ++i) alone.push_back(server_->complete(body(i)));
  std::vector<std::thread> clients;
  for (size_t i = 0; i < 16; ++i) {
    clients.emplace_back([&, i] { together[i] = server_->complete(body(static_cast<int>(i))); });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(together, alone);

  Json prompts = Json::array();
  for (int i = 0; i < 16; i += 2) prompts.push_back(body(i)["prompt"]);
  const Json answer =
      Json::parse(server_->post("/v1/completions", {{"prompt", prompts}, {"max_tokens", 10}}).body);
  for (size_t i = 0; i < 8; ++i) {
    const auto whole = alone[2 * i]["text"].get<std::string>();
    EXPECT_TRUE(whole.starts_with(answer["choices"][i]["text"].get<std::string>())) << i;
  }
}

TEST_F(ServeProgram, PartsOfAStreamAreTheWhole) {
  for (const Json& way : {Json::object(), Json{{"seed", 3}, {"temperature", 3}},
                          Json{{"prefix", "kilu "}}, Json{{"logprobs", 2}, {"seed", 4}}}) {
    Json body = way;
    body["prompt"] = "bado <extra_id_0> kilu <extra_id_1>.";
    body["max_tokens"] = 40;
    body["return_token_ids"] = true;
    const Json whole = server_->complete(body);
    std::string text, reason;
    std::vector<int> ids;
    Json tokens = Json::array();
    for (const Json& event : stream(body)) {
      const Json& choice = event["choices"].at(0);
      EXPECT_EQ(reason, "");
      EXPECT_EQ(event["object"], "text_completion");
      text += choice["text"].get<std::string>();
      for (const Json& id : choice["token_ids"]) ids.push_back(id.get<int>());
      if (!choice["logprobs"].is_null()) {
        for (const Json& token : choice["logprobs"]["tokens"]) tokens.push_back(token);
      }
      if (choice["finish_reason"].is_string()) reason = choice["finish_reason"];
    }
    EXPECT_EQ(text, whole["text"]);
    EXPECT_EQ(Json(ids), whole["token_ids"]);
    EXPECT_EQ(reason, whole["finish_reason"]);
    if (way.contains("logprobs")) {
      EXPECT_EQ(tokens, whole["logprobs"]["tokens"]);
    }
  }
}

TEST_F(ServeProgram, StreamsOfSeveralChoicesCountTheirTokens) {
  Json body = endless(15);
  body["prompt"] = Json::array({body["prompt"], body["prompt"]});
  body["n"] = 2;
  body["seed"] = 1;
  body["stream_options"] = {{"include_usage", true}};
  const Json events = stream(body);
  std::set<int> ended;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    EXPECT_TRUE(events[i]["usage"].is_null());
    const Json& choice = events[i]["choices"].at(0);
    if (choice["finish_reason"].is_string()) ended.insert(choice["index"].get<int>());
  }
  EXPECT_EQ(ended, (std::set<int>{0, 1, 2, 3}));
  EXPECT_EQ(events.back()["choices"], Json::array());
  EXPECT_EQ(events.back()["usage"]["prompt_tokens"], 6);
  EXPECT_LE(events.back()["usage"]["completion_tokens"], 60);
  const Json whole = Json::parse(server_->post("/v1/completions", endless(15)).body);
  EXPECT_EQ(whole["usage"],
            (Json{{"prompt_tokens", 3}, {"completion_tokens", 15}, {"total_tokens", 18}}));
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "length");
}

TEST_F(ServeProgram, NothingIsSentBeyondAStop) {
  Json body = {{"prompt", "bado kilu"}, {"max_tokens", 60}, {"seed", 2}, {"temperature", 4}};
  const auto whole = server_->complete(body)["text"].get<std::string>();
  ASSERT_GT(whole.size(), 20u) << whole;
  const std::string stop = whole.substr(whole.size() / 2, 3);
  const std::string expected = whole.substr(0, whole.find(stop));
  body["stop"] = {stop, "never to be found"};
  const Json stopped = server_->complete(body);
  EXPECT_EQ(stopped["text"], expected);
  EXPECT_EQ(stopped["finish_reason"], "stop");
  std::string text;
  for (const Json& event : stream(body)) text += event["choices"][0]["text"].get<std::string>();
  EXPECT_EQ(text, expected);
}

TEST_F(ServeProgram, LogProbabilitiesAddUp) {
  Json body = {{"prompt", "bado"}, {"max_tokens", 12}, {"seed", 2}, {"logprobs", 3}};
  const Json choice = server_->complete(body), &log_probs = choice["logprobs"];
  double sum = 0;
  ASSERT_GT(log_probs["tokens"].size(), 2u);
  for (size_t i = 0; i < log_probs["tokens"].size(); ++i) {
    sum += log_probs["token_logprobs"][i].get<double>();
    EXPECT_EQ(log_probs["top_logprobs"][i].size(), 3u);
    for (const Json& top : log_probs["top_logprobs"][i]) EXPECT_LE(top.get<double>(), 0);
    if (i > 0) {
      EXPECT_GE(log_probs["text_offset"][i], log_probs["text_offset"][i - 1]);
    }
  }
  EXPECT_NEAR(sum, choice["log_prob"].get<double>(), 1e-4);
}

TEST_F(ServeProgram, ScoresAreThoseOfScore) {
  const Json pairs[] = {{{"input", "bado <extra_id_0>"}, {"target", "<extra_id_0> kilu"}},
                        {{"input_ids", {5, 9, 1}}, {"target_ids", {7, 8, 44, 1}}}};
  for (const Json& pair : pairs) {
    write_file(own_ / "pair.jsonl", pair.dump() + "\n");
    const ProgramResult result = run_program({"score", "--model", run(), "--precision", "fp32",
                                              "--threads", "1", "--input", own_ / "pair.jsonl"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const Json expected = Json::parse(result.out);
    const HttpAnswer answer = server_->post("/v1/score", pair);
    ASSERT_EQ(answer.status, 200) << answer.body;
    const Json found = Json::parse(answer.body);
    EXPECT_EQ(found["num_tokens"], expected["num_tokens"]);
    for (size_t i = 0; i < expected["token_log_probs"].size(); ++i) {
      EXPECT_NEAR(found["token_log_probs"][i].get<double>(),
                  expected["token_log_probs"][i].get<double>(), 1e-3);
    }
  }
}

TEST_F(ServeProgram, RoutingNamesAnExpertOfEachToken) {
  Json body = endless(6);
  body["routing"] = true;
  const Json routing = server_->complete(body)["routing"];
  EXPECT_EQ(routing["num_experts"], 4);
  EXPECT_EQ(routing["input_tokens"].size(), 3u);
  EXPECT_EQ(routing["output_tokens"].size(), 7u);
  EXPECT_EQ(routing["output_tokens"][0], "<start>");
  ASSERT_EQ(routing["layers"].size(), 2u);
  for (const Json& layer : routing["layers"]) {
    const bool input = layer["of"] == "input";
    EXPECT_EQ(layer["name"], input ? "encoder.1" : "decoder.1");
    ASSERT_EQ(layer["tokens"].size(), input ? 3u : 7u);
    for (size_t t = 0; t < layer["tokens"].size(); ++t) {
      const Json& routes = layer["tokens"][t];
      if (!input && t == 6) {  // the last id is not read
        EXPECT_EQ(routes.size(), 0u);
        continue;
      }
      ASSERT_EQ(routes.size(), 1u);
      EXPECT_LT(routes[0]["expert"].get<int>(), 4);
      EXPECT_GE(routes[0]["gate"].get<double>(), 0.25);
    }
  }
  EXPECT_FALSE(server_->complete(endless(6)).contains("routing"));
  EXPECT_EQ(stream(body).back()["choices"][0]["routing"], routing);
}

TEST_F(ServeProgram, BoundedExpertsAnswerTheSame) {
  TestServer bounded(options({"--expert-memory", "64KiB"}));
  const Json body = {{"prompt", "bado <extra_id_0> kilu."}, {"max_tokens", 20}};
  EXPECT_EQ(bounded.complete(body), server_->complete(body));
  EXPECT_EQ(run_program({"serve", "--model", run(), "--expert-memory", "many"}).exit_code, 2);
}

TEST_F(ServeProgram, SaysWhatItServesAndHowItIs) {
  const Json models = Json::parse(server_->get("/v1/models").body);
  EXPECT_EQ(models["data"][0]["id"], "run");
  EXPECT_EQ(models["data"][0]["num_experts"], 4);
  EXPECT_EQ(server_->get("/healthz").status, 200);
  EXPECT_EQ(server_->get("/readyz").status, 200);
  const HttpAnswer page = server_->get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.headers.at("content-type"), HasSubstr("text/html"));
  EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("default-src 'none'"));
  for (const char* file : {"/page.css", "/page.js"}) EXPECT_EQ(server_->get(file).status, 200);
  // An answer leaves before its last step is counted.
  EXPECT_TRUE(server_->metric_becomes("running", 0));
  const double before = server_->metric("output_tokens_total");
  server_->complete(endless(30));
  EXPECT_TRUE(server_->metric_becomes("output_tokens_total", before + 30));
  double routed = 0;
  for (int expert = 0; expert < 4; ++expert) {
    routed +=
        server_->metric(format("expert_tokens_total{{layer=\"decoder.1\",expert=\"{}\"}}", expert));
  }
  EXPECT_GT(routed, 30);
  EXPECT_GT(server_->metric("first_token_seconds_count"), 0);
}

}  // namespace
}  // namespace switchyard::testing
