#include "serve/completion_answer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace switchyard {
namespace {

using Json = nlohmann::ordered_json;

AnswerContext context() {
  AnswerContext made;
  made.model = "m";
  made.layers = {"encoder.1", "decoder.0.attention", "decoder.1"};
  made.num_experts = 4;
  return made;
}

TEST(CompletionAnswer, RoutesLieByLayerAndToken) {
  const RoutingTrace trace = {{0, 0, 3, 0.5f, false},   {0, 2, 1, 0.75f, true},
                              {1, 0, 2, 0.5f, false},   {2, 0, 0, 0.625f, false},
                              {2, 0, 1, 0.375f, false}, {2, 1, 1, 0.5f, false},
                              {2, 2, 1, 0.5f, false}};
  const Json routing = routing_json(context(), trace, {5, 0, 6}, {9});
  EXPECT_EQ(routing["num_experts"], 4);
  EXPECT_EQ(routing["input_tokens"], Json({"5", "0", "6"}));
  EXPECT_EQ(routing["output_tokens"], Json({"<start>", "9"}));
  const Json& layers = routing["layers"];
  ASSERT_EQ(layers.size(), 3u);
  EXPECT_EQ(layers[0]["of"], "input");
  EXPECT_EQ(
      layers[0]["tokens"],
      Json::parse(R"([[{"expert":3,"gate":0.5}],[],[{"expert":1,"gate":0.75,"dropped":true}]])"));
  EXPECT_EQ(layers[1]["name"], "decoder.0.attention");
  EXPECT_EQ(layers[1]["tokens"], Json::parse(R"([[{"expert":2,"gate":0.5}],[]])"));
  // What lies behind the output's end is left out.
  EXPECT_EQ(layers[2]["tokens"],
            Json::parse(R"([[{"expert":0,"gate":0.625},{"expert":1,"gate":0.375}],
                            [{"expert":1,"gate":0.5}]])"));
}

TEST(CompletionAnswer, LogProbsShowTheMostProbable) {
  const std::vector<float> log_p = {-3, -1, -2, -1};
  LogProbs log_probs;
  log_probs.add(context(), 2, log_p, 3, 0);
  log_probs.add(context(), 0, log_p, 0, 4);
  EXPECT_EQ(log_probs.take(), Json::parse(R"({"tokens":["2","0"],"token_logprobs":[-2.0,-3.0],
                            "top_logprobs":[{"1":-1.0,"3":-1.0,"2":-2.0},{}],"text_offset":[0,4]})"));
  EXPECT_EQ(log_probs.take()["tokens"], Json::array());
  // More than there are, and numbers that JSON does not have.
  log_probs.add(context(), 1, std::vector<float>{-INFINITY, 0}, 9, 0);
  EXPECT_EQ(json_text(log_probs.take()["top_logprobs"]), R"([{"1":0.0,"0":null}])");
}

}  // namespace
}  // namespace switchyard
