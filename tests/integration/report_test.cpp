// `switchyard report` on run directories made for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/format.h"
#include "tests/integration/program.h"

namespace switchyard::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

struct MadeUpRun {
  int experts = 0;
  int seed = 1;
  std::vector<std::string> nlp;  // of evaluations every 100 steps, as JSON
  double seconds_per_step = 1;
  std::string validation = "data/validation";
  std::string tokenizer = "abc";
};

class ReportProgram : public ::testing::Test {
 protected:
  /// Writes what `train` would have written.
  std::string make_run(const std::string& name, const MadeUpRun& run) {
    const std::string path = folder_ / name;
    fs::create_directories(path);
    write_file(path + "/recipe.toml",
               format("[model.moe]\nnum_experts = {}\n[data]\ntrain = \"data/train\"\n"
                      "validation = \"{}\"\n[train]\nseed = {}\n",
                      run.experts, run.validation, run.seed));
    write_file(path + "/run.json",
               format(R"({{"version": "0.1.0", "parameters": 1234567, "threads": 2,
                       "forward_flops_per_sequence": 2e9, "gemm_rate": 1e12,
                       "machine": {{"processor": "A Processor", "cores": 2, "memory": 1e9}},
                       "data": {{"tokenizer": "{}", "vocab_size": 8192, "fingerprint": "f"}}}})",
                      run.tokenizer));
    std::string lines = R"({"kind": "event", "step": 0, "event": "started"})"
                        "\n";
    for (size_t i = 0; i < run.nlp.size(); ++i) {
      const size_t step = 100 * (i + 1);
      const std::string common =
          format(R"("step": {}, "tokens": {}, "seconds": {}, "nlp": {})", step, 1000 * step,
                 run.seconds_per_step * static_cast<double>(step), run.nlp[i]);
      const std::string router = R"(, "dropped_share": 0.25, "layers": [{"layer": "encoder.1",
                                     "load": [0.5, 0.5]}])";
      lines += format(R"({{"kind": "train", {}, "loss": 2.5, "gemm_share": 0.5{}}})", common,
                      run.experts > 0 ? one_line(router) : "") +
               "\n";
      lines += format(R"({{"kind": "eval", {}, "accuracy": 0.5, "targets": 4096}})", common) + "\n";
    }
    write_file(path + "/metrics.jsonl", lines);
    return path;
  }

  static std::string one_line(std::string text) {
    std::erase(text, '\n');
    return text;
  }

  /// The page's data as its script reads it.
  static nlohmann::json page_data(const std::string& page) {
    const std::string open = "<script type=\"application/json\" id=\"data\">";
    const size_t begin = page.find(open) + open.size();
    return nlohmann::json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  }

  static void append(const std::string& path, const std::string& text) {
    AppendFile(path).append(text);
  }

  TemporaryFolder folder_;
  const MadeUpRun dense_{0, 1, {"-4", "-3", "-2.5", "-2"}, 1};
  const MadeUpRun sparse_{8, 1, {"-3", "-2", "-1.5", "-1"}, 2};
};

TEST_F(ReportProgram, SpeedUpOnThePageAndOnStdout) {
  const std::string dense = make_run("dense", dense_), sparse = make_run("sparse", sparse_);
  const std::string output = folder_ / "page.html";
  const ProgramResult result = run_program({"report", sparse, dense, "--output", output});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, AllOf(HasSubstr("dense (baseline)"), HasSubstr("1.23M"),
                                HasSubstr("2.00×"), HasSubstr("1.00×"), HasSubstr("25.00")));
  const std::string page = read_file(output);
  EXPECT_THAT(page, AllOf(HasSubstr("<td>2.00×</td>"), HasSubstr("class=\"static-plot\""),
                          HasSubstr("A Processor"), HasSubstr("num_experts = 8")));
  const nlohmann::json data = page_data(page);
  EXPECT_EQ(data["level"], -2.0);
  EXPECT_EQ(data["runs"][0]["reach"]["steps"], 200.0);
  EXPECT_EQ(data["runs"][0]["train"]["nlp"].size(), 4u);
  EXPECT_EQ(data["runs"][0]["layers"][0]["experts"], 2);
  EXPECT_EQ(data["runs"][1]["layers"].size(), 0u);
}

TEST_F(ReportProgram, NothingIsLoadedFromElsewhere) {
  const std::string run = make_run("run", sparse_);
  ASSERT_EQ(run_program({"report", run}).exit_code, 0);
  const std::string page = read_file(run + "/report.html");
  for (const char* text : {"src=", "url(h", "@import", "<link", "{{", "fetch("}) {
    EXPECT_THAT(page, Not(HasSubstr(text)));
  }
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST_F(ReportProgram, JsonHasTheSameNumbers) {
  const std::string dense = make_run("dense", dense_), sparse = make_run("sparse", sparse_);
  const ProgramResult result = run_program({"report", dense, sparse, "--json", "--baseline",
                                            "sparse", "--output", folder_ / "page.html"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["baseline"], "sparse");
  EXPECT_EQ(json["level"], -1.0);
  EXPECT_EQ(json["runs"][0]["reach"]["reached"], false);
  EXPECT_EQ(json["output"], folder_ / "page.html");
}

TEST_F(ReportProgram, TextOfRunsIsEscaped) {
  const std::string evil = "<script>alert(1)<!-- \"'&";
  MadeUpRun made = dense_;
  made.validation = "</script><b>";
  made.tokenizer = "</script><i>";
  const std::string run = make_run(evil, made);
  append(run + "/metrics.jsonl",
         R"({"kind": "event", "step": 400, "event": "failed: </script><u>"})"
         "\n");
  ASSERT_EQ(run_program({"report", run}).exit_code, 0);
  const std::string page = read_file(run + "/report.html");
  for (const char* text :
       {"<script>alert", "<b></script>", "</script><b>", "</script><i>", "</script><u>"}) {
    EXPECT_THAT(page, Not(HasSubstr(text)));
  }
  EXPECT_EQ(page_data(page)["runs"][0]["name"], evil);
}

TEST_F(ReportProgram, DamagedAndUnfinishedMetrics) {
  const std::string run = make_run("run", {0, 1, {"-3", "null", "-2"}, 1});
  append(run + "/metrics.jsonl",
         "no json\n{\"kind\": 7}\n{\"kind\": \"eval\", \"step\": 400, \"nl");
  const ProgramResult result = run_program({"report", run, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("2 damaged lines"));
  EXPECT_EQ(nlohmann::json::parse(result.out)["runs"][0]["final_nlp"], -2.0);
  EXPECT_THAT(read_file(run + "/report.html"),
              AllOf(HasSubstr("2 damaged lines"), HasSubstr("the last line is incomplete")));
}

// Lines that parse but say nonsense are worth what can be read of them.
TEST_F(ReportProgram, NumbersOfWrongKinds) {
  const std::string run = make_run("run", {8, 1, {"-3", "-2"}, 1});
  append(
      run + "/metrics.jsonl",
      R"({"kind": "train", "step": 300, "tokens": "many", "nlp": [], "layers": [1, {"layer": 2}, )"
      R"({"layer": "x", "load": ["a", null]}, {"layer": "encoder.1", "load": [1, 0, 0]}]})"
      "\n"
      R"({"kind": "train", "step": 400, "tokens": 1e300, "seconds": -1e300, "nlp": 1e308})"
      "\n"
      R"({"kind": "eval", "step": 400, "tokens": null, "seconds": {}, "nlp": "best"})"
      "\n"
      R"({"kind": "eval", "step": 100, "nlp": 7})"
      "\n");
  write_file(run + "/run.json", R"({"machine": 7, "data": [], "threads": {}, "parameters": "x"})");
  const ProgramResult result = run_program({"report", run, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("step does not rise"));
  EXPECT_EQ(nlohmann::json::parse(result.out)["runs"][0]["final_nlp"], -2.0);
  EXPECT_GT(nlohmann::json::parse(result.out)["runs"][0]["parameters"], 1e6);
  EXPECT_EQ(page_data(read_file(run + "/report.html"))["runs"][0]["train"]["nlp"].size(), 4u);
}

TEST_F(ReportProgram, RunsOfOneNameAreToldApart) {
  const std::string one = make_run("one/run", dense_), two = make_run("two/run", sparse_);
  const ProgramResult result = run_program({"report", one, two, "--output", folder_ / "page.html"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("one/run (baseline)"), HasSubstr("two/run")));
}

TEST_F(ReportProgram, RunWithoutEvaluationOrRunJson) {
  const std::string run = make_run("run", {});
  fs::remove(run + "/run.json");
  fs::remove(run + "/metrics.jsonl");
  const ProgramResult result = run_program({"report", run});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("no evaluation"), HasSubstr("no run.json")));
  EXPECT_THAT(read_file(run + "/report.html"), HasSubstr("too few evaluations"));
}

TEST_F(ReportProgram, UnlikeEvaluationsAreWarnedOf) {
  const std::string dense = make_run("dense", dense_);
  MadeUpRun other = sparse_;
  other.validation = "elsewhere";
  other.tokenizer = "xyz";
  const std::string sparse = make_run("sparse", other), output = folder_ / "page.html";
  const ProgramResult result = run_program({"report", dense, sparse, "--output", output});
  ASSERT_EQ(result.exit_code, 0);
  for (const std::string& text : {result.err, read_file(output)}) {
    EXPECT_THAT(text,
                AllOf(HasSubstr("evaluated on different data"), HasSubstr("different tokenizers")));
  }
}

TEST_F(ReportProgram, SeedsAreOneGroup) {
  std::vector<std::string> command = {"report", make_run("dense", dense_), "--output",
                                      folder_ / "page.html"};
  for (int seed = 1; seed <= 3; ++seed) {
    MadeUpRun run = sparse_;
    run.seed = seed;
    run.nlp.back() = format("-{}", seed);
    command.push_back(make_run(format("sparse-seed{}", seed), run));
  }
  const ProgramResult result = run_program(command);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("sparse (3 seeds)"));
  EXPECT_THAT(result.out, HasSubstr("-2.000 ± 1.000"));
}

TEST_F(ReportProgram, Mistakes) {
  const std::string dense = make_run("dense", dense_), sparse = make_run("sparse", sparse_);
  const auto expect_refused = [](const std::vector<std::string>& arguments, int exit_code,
                                 const std::string& message) {
    std::vector<std::string> command = {"report"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const ProgramResult result = run_program(command);
    EXPECT_EQ(result.exit_code, exit_code) << message;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.out, "");
  };
  const std::string page = folder_ / "page.html";
  expect_refused({}, 2, "runs is required");
  expect_refused({dense, sparse}, 2, "--output");
  expect_refused({folder_ / "none", "--output", page}, 2, "no such directory");
  expect_refused({folder_.path(), "--output", page}, 2, "holds no run");
  expect_refused({dense, dense + "/", "--output", page}, 2, "named twice");
  expect_refused({dense, sparse, "--output", page, "--baseline", "x"}, 2, "dense, sparse");
  expect_refused({dense, "--output", folder_ / "no/folder/page.html"}, 2, "page.html");
  EXPECT_FALSE(fs::exists(page));
}

}  // namespace
}  // namespace switchyard::testing
