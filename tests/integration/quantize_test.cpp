// Weights of 8 bits through the real program: made, looked at, used by every command that reads
// models, refused, damaged; and the bound on experts' memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tests/integration/program.h"
#include "tests/integration/tiny_run.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class QuantizeProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    make_tiny_data(*shared_);
    const ProgramResult trained =
        run_program(tiny_train_command(*shared_, run(),
                                       {"train.steps=40", "train.evaluate_every=0",
                                        "train.checkpoint_every=0", "model.moe.capacity=dropless"},
                                       "1"));
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
    const ProgramResult made = run_program({"quantize", "--model", run(), "--output", model()});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    EXPECT_THAT(made.out, HasSubstr(model()));
    write_file(lines(),
               "{\"input\":\"bado <extra_id_0> kilu.\",\"target\":\"<extra_id_0> bado\"}\n"
               "{\"input_ids\":[5,17,299,40,1],\"target_ids\":[7,1]}\n");
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::string run() { return *shared_ / "run"; }
  static std::string model() { return *shared_ / "int8"; }
  static std::string lines() { return *shared_ / "lines.jsonl"; }

  static std::string output_of(std::vector<std::string> words) {
    words.insert(words.end(), {"--threads", "1"});
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  static double nlp_of(std::vector<std::string> words) {
    words.insert(words.begin(), {"eval", "--data", *shared_ / "data/validation", "--json"});
    return Json::parse(output_of(words))["nlp"];
  }

  static void expect_refused(const std::vector<std::string>& words, int exit_code,
                             const std::string& what) {
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.exit_code, exit_code) << what;
    EXPECT_THAT(result.err, HasSubstr("switchyard: error: "));
    EXPECT_THAT(result.err, HasSubstr(what));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  static std::unique_ptr<TemporaryFolder> shared_;
  TemporaryFolder folder_;
};

std::unique_ptr<TemporaryFolder> QuantizeProgram::shared_;

TEST_F(QuantizeProgram, InspectSaysWhatItIs) {
  const Json report = Json::parse(output_of({"inspect", model(), "--verify", "--json"}));
  EXPECT_EQ(report["kind"], "model");
  EXPECT_EQ(report["quantization"], "int8");
  EXPECT_EQ(report["transformers_can_load"], false);
  EXPECT_EQ(report["stored_types"].size(), 2u);
  EXPECT_GT(report["stored_types"]["I8"], 10);
  EXPECT_THAT(report["verified"].get<std::string>(), HasSubstr("all scales above zero"));
  const Json before = Json::parse(output_of({"inspect", run(), "--json"}))["newest"];
  EXPECT_EQ(before["quantization"], "none");
  EXPECT_EQ(report["parameters"], before["parameters"]);
  EXPECT_LT(report["weight_bytes"].get<int64_t>(), before["weight_bytes"].get<int64_t>() / 2);
}

TEST_F(QuantizeProgram, LosesLittle) {
  const double exact = nlp_of({"--model", run(), "--engine"});
  EXPECT_NEAR(nlp_of({"--model", model()}), exact, 0.01);                         // integers
  EXPECT_NEAR(nlp_of({"--model", model(), "--precision", "fp32"}), exact, 0.01);  // rounded weights
  EXPECT_NEAR(nlp_of({"--model", run()}), exact, 1e-3);
  const Json integers = Json::parse(
      output_of({"eval", "--model", model(), "--data", *shared_ / "data/validation", "--json"}));
  EXPECT_EQ(integers["int8"], true);
  EXPECT_EQ(integers["input_length"], 32);  // of the run that it came from
}

TEST_F(QuantizeProgram, GeneratesAndScoresFromTextAndIds) {
  std::istringstream answers(
      output_of({"generate", "--model", model(), "--input", lines(), "--max-new-tokens", "9"}));
  std::istringstream scores(output_of({"score", "--model", model(), "--input", lines()}));
  std::istringstream exact(output_of({"score", "--model", run(), "--input", lines()}));
  for (std::string a, b, c; std::getline(answers, a);) {
    ASSERT_TRUE(std::getline(scores, b) && std::getline(exact, c));
    EXPECT_TRUE(Json::parse(a).contains("output"));
    const Json own = Json::parse(b), other = Json::parse(c);
    EXPECT_EQ(own["num_tokens"], other["num_tokens"]);
    EXPECT_NEAR(own["log_prob"].get<double>(), other["log_prob"].get<double>(), 0.2);
    EXPECT_NE(own["log_prob"], other["log_prob"]);
  }
  // With float32 numbers it is a model like others.
  const std::vector<std::string> generate = {"generate", "--model",     model(),
                                             "--input",  lines(),       "--max-new-tokens",
                                             "9",        "--precision", "fp32"};
  std::vector<std::string> slow = generate;
  slow.push_back("--no-cache");
  const auto ids = [](const std::string& text) {
    std::vector<Json> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(Json::parse(line)["output_ids"]);
    return all;
  };
  EXPECT_EQ(ids(output_of(generate)), ids(output_of(slow)));
}

TEST_F(QuantizeProgram, BoundedMemoryChangesNoAnswer) {
  std::vector<std::string> words = {"generate",         "--model", model(),     "--input", lines(),
                                    "--max-new-tokens", "9",       "--threads", "1"};
  const std::string free_answers = run_program(words).out;
  words.insert(words.end(), {"--expert-memory", "20KiB"});
  const ProgramResult bounded = run_program(words);
  EXPECT_EQ(bounded.exit_code, 0) << bounded.err;
  EXPECT_EQ(bounded.out, free_answers);
  EXPECT_THAT(bounded.err, HasSubstr("given up; at most"));
  words.back() = "4KiB";
  expect_refused(words, 2, "an expert has");
  words.back() = "1MiB";
  words.insert(words.end(), {"--precision", "fp32"});
  expect_refused(words, 2, "converted");
  words.back() = "bf16";
  expect_refused(words, 2, "only decoding with a cache");
}

TEST_F(QuantizeProgram, RefusesWhatItCannotMake) {
  const std::string again = folder_ / "again";
  expect_refused({"quantize", "--model", model(), "--output", again}, 2, "quantized already");
  expect_refused({"quantize", "--model", run(), "--output", model()}, 2, "already");
  expect_refused({"quantize", "--model", run(), "--output", folder_ / "a/b", "--nonsense"}, 2,
                 "--nonsense");
  expect_refused({"quantize", "--model", folder_.path(), "--output", again}, 2, "neither a model");
  EXPECT_FALSE(fs::exists(again));
}

TEST_F(QuantizeProgram, ADiskThatIsFullLeavesNothing) {
  const std::string output = folder_ / "int8";
  const ProgramResult result =
      run_program({"quantize", "--model", run(), "--output", output}, "ulimit -f 8");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("cannot write"));
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(QuantizeProgram, DamagedScalesEndInOneLine) {
  const std::string damaged = folder_ / "damaged";
  fs::copy(model(), damaged);
  std::string weights = read_file(damaged + "/model.safetensors");
  const size_t header = 8 + *reinterpret_cast<const uint64_t*>(weights.data());
  const Json tensors = Json::parse(weights.substr(8, header - 8));
  const size_t begin = tensors["shared.weight_scale"]["data_offsets"][0];
  weights.replace(header + begin + 4, 4, std::string("\0\0\xC0\x7F", 4));
  write_file(damaged + "/model.safetensors", weights);
  const std::string what = "tensor 'shared.weight_scale'";
  expect_refused({"inspect", damaged, "--verify"}, 3, what);
  expect_refused({"generate", "--model", damaged, "--input", lines(), "--max-new-tokens", "3"}, 3,
                 what);
  expect_refused({"score", "--model", damaged, "--input", lines()}, 3, what);
  expect_refused({"eval", "--model", damaged, "--data", *shared_ / "data/validation"}, 3, what);
}

}  // namespace
}  // namespace switchyard::testing
