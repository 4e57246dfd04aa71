#include "serve/completion_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/request_fields.h"
#include "serve/score_request.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;

const RequestLimits kLimits = {
    .vocab_size = 100, .input_tokens = 6, .output_tokens = 50, .choices = 4};

CompletionRequest parse(const std::string& body) {
  return parse_completion_request(body, nullptr, kLimits);
}

/// A request with ids for a prompt and these fields.
CompletionRequest with(const std::string& fields) {
  return parse("{\"prompt\":[5,1]," + fields + "}");
}

void expect_refused(const std::string& body, const std::string& field, const std::string& message) {
  const Error error = testing::error_of([&] { parse(body); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage) << body;
  EXPECT_EQ(error.where_part(), field) << body;
  EXPECT_THAT(std::string(error.what()), HasSubstr(message)) << body;
}

void expect_field_refused(const std::string& fields, const std::string& field,
                          const std::string& message = "") {
  expect_refused("{\"prompt\":[5,1]," + fields + "}", field, message);
}

TEST(CompletionRequest, DefaultsAreGreedy) {
  const CompletionRequest request = parse(R"({"prompt":[5,1]})");
  EXPECT_EQ(request.inputs, (std::vector<std::vector<int32_t>>{{5, 1}}));
  EXPECT_EQ(request.max_new_tokens, 16);
  EXPECT_EQ(request.num_outputs, 1);
  EXPECT_FALSE(request.sample);
  EXPECT_FALSE(request.stream || request.routing || request.log_probs);
}

TEST(CompletionRequest, PromptsAreOneOrMany) {
  EXPECT_EQ(parse(R"({"prompt":[[5,1],[0,7]]})").inputs,
            (std::vector<std::vector<int32_t>>{{5, 1}, {0, 7}}));
  expect_refused("{}", "prompt", "missing");
  expect_refused(R"({"prompt":null})", "prompt", "missing");
  expect_refused(R"({"prompt":[]})", "prompt", "no ids");
  expect_refused(R"({"prompt":[[]]})", "prompt[0]", "no ids");
  expect_refused(R"({"prompt":[0,0]})", "prompt", "only padding");
  expect_refused(R"({"prompt":"text"})", "prompt", "no tokenizer");
  expect_refused(R"({"prompt":["text"]})", "prompt[0]", "no tokenizer");
  expect_refused(R"({"prompt":[5,100]})", "prompt[1]", "give 0 to 99");
  expect_refused(R"({"prompt":[5,-1]})", "prompt[1]", "-1 is out of range");
  expect_refused(R"({"prompt":[5,18446744073709551615]})", "prompt[1]", "out of range");
  expect_refused(R"({"prompt":[5,1.5]})", "prompt[1]", "not an integer");
  expect_refused(R"({"prompt":[[5],7]})", "prompt[1]", "neither a text");
  expect_refused(R"({"prompt":{"a":1}})", "prompt", "neither a text");
  expect_refused(R"({"prompt":[1,2,3,4,5,6,7]})", "prompt", "7 tokens, and the server takes 6");
  expect_refused(R"({"prompt":[[1],[1],[1],[1],[1]]})", "prompt", "5 outputs");
}

TEST(CompletionRequest, SamplesWhereAFieldOfSamplingIsGiven) {
  for (const char* field : {"\"temperature\":0.7", "\"top_p\":0.9", "\"top_k\":4", "\"min_p\":0.1",
                            "\"seed\":-3", "\"n\":2"}) {
    EXPECT_TRUE(with(field).sample) << field;
  }
  EXPECT_FALSE(with("\"temperature\":0,\"top_p\":0.5,\"seed\":4").sample);
  EXPECT_FALSE(with("\"n\":1,\"temperature\":null").sample);
  const CompletionRequest request =
      with(R"("temperature":2,"top_p":0.5,"top_k":-1,"min_p":0.25,"seed":7,"n":3)");
  EXPECT_EQ(request.sample->temperature, 2);
  EXPECT_EQ(request.sample->top_p, 0.5);
  EXPECT_EQ(request.sample->top_k, 0);
  EXPECT_EQ(request.sample->min_p, 0.25);
  EXPECT_EQ(request.sample->seed, 7u);
  EXPECT_EQ(request.num_choices(), 3);
  // Without a seed each request draws its own.
  EXPECT_NE(with("\"top_k\":4").sample->seed, with("\"top_k\":4").sample->seed);
  expect_field_refused("\"temperature\":0,\"n\":2", "n", "one output");
  expect_field_refused("\"temperature\":0.001", "temperature", "too low");
  expect_field_refused("\"temperature\":-1", "temperature", "give 0 to 100");
  expect_field_refused("\"top_p\":1.1", "top_p", "give 0 to 1");
  expect_field_refused("\"n\":5", "n", "give 1 to 4");
  expect_refused(R"({"prompt":[[5],[6]],"n":3})", "n", "6 outputs");
}

TEST(CompletionRequest, WhatAsksForNothingIsAccepted) {
  with(R"("user":"me","best_of":1,"presence_penalty":0,"frequency_penalty":0.0,"echo":false,
          "suffix":"","logit_bias":{},"metadata":{"a":"b"},"model":"m","stream":false)");
  with(R"("stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false})");
  with(R"("suffix":null,"logit_bias":null,"logprobs":null,"stop":null)");
  EXPECT_EQ(with("\"n\":2,\"best_of\":2").num_outputs, 2);
}

TEST(CompletionRequest, WhatCannotBeDoneIsRefusedByName) {
  expect_field_refused("\"presence_penalty\":0.5", "presence_penalty", "not supported");
  expect_field_refused("\"frequency_penalty\":-1", "frequency_penalty", "not supported");
  expect_field_refused("\"echo\":true", "echo", "not supported");
  expect_field_refused("\"suffix\":\"x\"", "suffix", "<extra_id_0>");
  expect_field_refused("\"logit_bias\":{\"5\":1}", "logit_bias", "not supported");
  expect_field_refused("\"best_of\":3", "best_of", "not supported");
  expect_field_refused("\"stop\":\"x\"", "stop", "no tokenizer");
  expect_field_refused("\"max_tokens\":51", "max_tokens", "give 1 to 50");
  expect_field_refused("\"max_tokens\":0", "max_tokens", "give 1 to 50");
  expect_field_refused("\"max_tokens\":\"9\"", "max_tokens", "not an integer");
  expect_field_refused("\"max_token\":9", "max_token", "did you mean `max_tokens`?");
  expect_field_refused("\"stream\":1", "stream", "neither true nor false");
  expect_field_refused("\"logprobs\":21", "logprobs", "give 0 to 20");
  expect_field_refused("\"stream_options\":{\"include_usage\":true}", "stream_options", "`stream`");
  expect_field_refused("\"stream_options\":{\"x\":1}", "stream_options.x", "not supported");
  expect_field_refused("\"repetition_penalty\":0", "repetition_penalty", "0.01");
  expect_field_refused("\"prefix\":[1,2,3,4,5,6,7]", "prefix", "7 tokens");
}

TEST(CompletionRequest, BodiesThatAreNoObjectAreRefused) {
  for (const char* body : {"", "{", "[]", "\"a\"", "{\"prompt\":[5]}x", "{\"a\":\"\xFF\"}",
                           "{\"seed\":1,\"seed\":2}", "{\"seed\":1e999}"}) {
    const Error error = testing::error_of([&] { parse(body); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << body;
    EXPECT_THAT(error.where_part(), ::testing::StartsWith(kRequestBody)) << body;
  }
  std::string deep = R"({"prompt":[5],"a":)";
  deep.append(40, '[').append(40, ']') += '}';
  expect_refused(deep, kRequestBody, "levels deep");
}

TEST(CompletionRequest, OutputsCanBeShaped) {
  const CompletionRequest request =
      with(R"("prefix":[7,8],"repetition_penalty":1.5,"no_repeat_ngram":3,"logprobs":2,
              "return_token_ids":true,"routing":true,"max_tokens":50)");
  EXPECT_EQ(request.output.prefix, (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(request.output.repetition_penalty, 1.5);
  EXPECT_EQ(request.output.no_repeat_ngram, 3);
  EXPECT_EQ(request.log_probs, 2);
  EXPECT_TRUE(request.return_token_ids && request.routing);
  EXPECT_EQ(request.max_new_tokens, 50);
}

TEST(ScoreRequestBody, HasAnInputAndATarget) {
  const ScoreBody read =
      parse_score_request(R"({"input_ids":[5,1],"target_ids":[7],"model":"m"})", nullptr, kLimits);
  EXPECT_EQ(read.request.input, (std::vector<int32_t>{5, 1}));
  EXPECT_EQ(read.request.target, (std::vector<int32_t>{7}));
  EXPECT_EQ(read.model, "m");
  const auto refused = [](const std::string& body) {
    return testing::error_of([&] { parse_score_request(body, nullptr, kLimits); }).where_part();
  };
  EXPECT_EQ(refused(R"({"input_ids":[5]})"), "target");
  EXPECT_EQ(refused(R"({"target_ids":[5]})"), "input");
  EXPECT_EQ(refused(R"({"input_ids":[0],"target_ids":[5]})"), "input_ids[0]");
  EXPECT_EQ(refused(R"({"input_ids":"a","target_ids":[5]})"), "input_ids");
  EXPECT_EQ(refused(R"({"input":[5],"target_ids":[5]})"), "input");
  EXPECT_EQ(refused(R"({"input_ids":[5],"target_ids":[]})"), "target_ids");
  EXPECT_EQ(refused(R"({"input_ids":[5],"target_ids":[5],"targets":1})"), "targets");
}

}  // namespace
}  // namespace switchyard
