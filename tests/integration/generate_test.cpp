// Generation through the real program: batches, ways of decoding, text, mistakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/format.h"
#include "tests/integration/program.h"
#include "tests/integration/tiny_run.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class GenerateProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    make_tiny_data(*shared_);
    // With these capacities no token is dropped, so that a line's answer is its own.
    const ProgramResult trained = run_program(
        tiny_train_command(*shared_, run(),
                           {"train.steps=30", "train.evaluate_every=0", "train.checkpoint_every=0",
                            "model.moe.capacity_factor_eval=4", "model.init_scale=1"},
                           "1"));
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
    std::string lines;
    for (int i = 0; i < 7; ++i) {
      lines += i % 2 == 0 ? format("{{\"id\":{},\"input\":\"bado <extra_id_0> kilu{}.\"}}\n", i,
                                   std::string(static_cast<size_t>(i), 'a'))
                          : format("{{\"input_ids\":[{},17,299,40,1],\"id\":{}}}\n", 20 + i, i);
    }
    write_file(input(), lines);
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::string run() { return *shared_ / "run"; }
  static std::string input() { return *shared_ / "input.jsonl"; }

  static ProgramResult generate(const std::vector<std::string>& options) {
    std::vector<std::string> words = {"generate", "--model",   run(), "--precision",
                                      "fp32",     "--threads", "1",   "--max-new-tokens",
                                      "9"};
    words.insert(words.end(), options.begin(), options.end());
    return run_program(words);
  }

  /// Answers to the shared input.
  static std::vector<Json> answers(std::vector<std::string> options) {
    options.insert(options.begin(), {"--input", input()});
    const ProgramResult result = generate(options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::vector<Json> lines;
    std::istringstream text(result.out);
    for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  /// Equal but for rounding of the numbers.
  static void expect_same(const std::vector<Json>& a, const std::vector<Json>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i]["id"], b[i]["id"]);
      EXPECT_EQ(a[i]["output_ids"], b[i]["output_ids"]) << i;
      EXPECT_EQ(a[i]["output"], b[i]["output"]) << i;
      EXPECT_NEAR(a[i]["log_prob"].get<double>(), b[i]["log_prob"].get<double>(), 1e-3) << i;
    }
  }

  void expect_refused(const std::string& lines, const std::string& message) {
    const std::string file = folder_ / "wrong.jsonl", output = folder_ / "out.jsonl";
    write_file(file, lines);
    const ProgramResult result = generate({"--input", file, "--output", output});
    EXPECT_EQ(result.exit_code, 2) << message;
    EXPECT_THAT(result.err, HasSubstr("switchyard: error: "));
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_FALSE(fs::exists(output)) << message;
  }

  /// The file that a run is writing; "" if there is none.
  std::string partial() const {
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      const std::string path = entry.path();
      if (path.find(".partial-") != std::string::npos) return path;
    }
    return "";
  }

  /// Waits until a run has written so many lines.
  bool wait_for_lines(size_t lines) const {
    for (int i = 0; i < 6000; ++i) {
      const std::string path = partial();
      const std::string text = path.empty() ? "" : read_file(path);
      if (static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) >= lines) return true;
      ::usleep(10000);
    }
    return false;
  }

  static std::unique_ptr<TemporaryFolder> shared_;
  TemporaryFolder folder_;
};

std::unique_ptr<TemporaryFolder> GenerateProgram::shared_;

TEST_F(GenerateProgram, AnswersDoNotDependOnTheBatch) {
  for (const std::vector<std::string>& way : {std::vector<std::string>{},
                                              {"--num-beams", "3"},
                                              {"--seed", "5", "--temperature", "0.9"}}) {
    std::vector<std::string> alone = way;
    alone.insert(alone.end(), {"--batch-size", "1"});
    const auto together = answers(way);
    ASSERT_EQ(together.size(), 7u);
    for (int i = 0; i < 7; ++i) EXPECT_EQ(together[static_cast<size_t>(i)]["id"], i);
    expect_same(together, answers(alone));
    alone.back() = "3";
    expect_same(together, answers(alone));
  }
}

TEST_F(GenerateProgram, BeamsFindNoLessProbableOutputs) {
  const auto greedy = answers({});
  const auto beams =
      answers({"--num-beams", "4", "--num-return", "4", "--length-penalty", "0", "--fill"});
  ASSERT_EQ(beams.size(), greedy.size());
  double gain = 0;  // one line may lose, when its greedy prefix falls out of the beams
  for (size_t i = 0; i < beams.size(); ++i) {
    gain += beams[i]["log_prob"].get<double>() - greedy[i]["log_prob"].get<double>();
    const Json& outputs = beams[i]["outputs"];
    ASSERT_EQ(outputs.size(), 4u);
    EXPECT_EQ(outputs[0]["output_ids"], beams[i]["output_ids"]);
    EXPECT_EQ(outputs[0]["filled"], beams[i]["filled"]);
    for (size_t k = 1; k < 4; ++k) {
      EXPECT_LE(outputs[k]["score"].get<double>(), outputs[k - 1]["score"].get<double>());
      EXPECT_NE(outputs[k]["output_ids"], outputs[k - 1]["output_ids"]);
    }
  }
  EXPECT_GE(gain, -1e-3);
}

TEST_F(GenerateProgram, SeedsDecideWhatIsDrawn) {
  const std::vector<std::string> five = {"--seed", "5", "--num-return", "3"};
  const auto first = answers(five);
  EXPECT_EQ(first, answers(five));
  EXPECT_NE(first, answers({"--seed", "6", "--num-return", "3"}));
  EXPECT_EQ(first[0]["outputs"].size(), 3u);
  // The one most probable id at each position is what greedy decoding takes.
  expect_same(answers({"--top-k", "1"}), answers({}));
}

TEST_F(GenerateProgram, TheCacheChangesNothing) {
  for (std::vector<std::string> way : {std::vector<std::string>{}, {"--num-beams", "3"}}) {
    const auto cached = answers(way);
    way.push_back("--no-cache");
    expect_same(answers(way), cached);
  }
}

TEST_F(GenerateProgram, OptionsOfOutputs) {
  const auto plain = answers({"--log-probs"});
  const auto begun = answers({"--prefix", "kilu", "--log-probs", "--no-repeat-ngram", "1"});
  // Drawn at a high temperature outputs are long: what is most probable ends after one id.
  const std::vector<std::string> draw = {"--temperature", "5", "--seed", "3"};
  const auto drawn = answers(draw);
  const auto lengthy = std::find_if(drawn.begin(), drawn.end(), [](const Json& answer) {
    return answer["output"].get<std::string>().size() > 3 && answer["output_ids"].size() > 3;
  });
  ASSERT_NE(lengthy, drawn.end()) << Json(drawn).dump();
  const std::string start = (*lengthy)["output"].get<std::string>().substr(0, 1);
  std::vector<std::string> draw_until = draw;
  draw_until.insert(draw_until.end(), {"--stop", start});
  const auto of_stopped = answers(draw_until)[static_cast<size_t>(lengthy - drawn.begin())];
  EXPECT_LT(of_stopped["output_ids"].size(), (*lengthy)["output_ids"].size());
  EXPECT_THAT(of_stopped["output"].get<std::string>(), HasSubstr(start));
  for (size_t i = 0; i < plain.size(); ++i) {
    double sum = 0;
    for (const Json& log_p : plain[i]["token_log_probs"]) sum += log_p.get<double>();
    EXPECT_NEAR(sum, plain[i]["log_prob"].get<double>(), 1e-6);
    EXPECT_THAT(begun[i]["output"].get<std::string>(), ::testing::StartsWith("kilu"));
    EXPECT_LT(begun[i]["token_log_probs"].size(), begun[i]["output_ids"].size() + 1);
    const auto ids = begun[i]["output_ids"].get<std::vector<int>>();
    const auto prefix = ids.size() - begun[i]["token_log_probs"].size();
    const std::set<int> different(ids.begin() + static_cast<std::ptrdiff_t>(prefix), ids.end());
    EXPECT_EQ(different.size(), ids.size() - prefix);
  }
}

TEST_F(GenerateProgram, FileAndStandardOutputAreTheSame) {
  const std::string file = folder_ / "out.jsonl";
  const ProgramResult to_file = generate({"--input", input(), "--output", file});
  ASSERT_EQ(to_file.exit_code, 0) << to_file.err;
  EXPECT_EQ(to_file.out, "");
  EXPECT_EQ(read_file(file), generate({"--input", input()}).out);
}

TEST_F(GenerateProgram, LinesOfAPipeAreAnsweredAsTheyCome) {
  const std::string pipe = folder_ / "pipe", output = folder_ / "out.jsonl";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const std::vector<std::string>& way :
       {std::vector<std::string>{}, {"--num-beams", "2"}, {"--no-cache", "--batch-size", "1"}}) {
    std::vector<std::string> words = {"generate", "--model",          run(), "--precision",
                                      "fp32",     "--input",          "-",   "--output",
                                      output,     "--max-new-tokens", "5"};
    words.insert(words.end(), way.begin(), way.end());
    // Opened for reading and writing, the pipe never ends.
    Program program(words, format("exec <> {}", pipe));
    for (size_t lines = 1; lines <= 3; ++lines) {
      std::ofstream(pipe, std::ios::app) << "{\"input_ids\":[5,1]}\n" << std::flush;
      EXPECT_TRUE(wait_for_lines(lines)) << lines;
    }
    program.signal(SIGTERM);
    const ProgramResult result = program.wait();
    EXPECT_EQ(result.exit_code, 128 + SIGTERM) << result.err;
    EXPECT_THAT(result.err, HasSubstr("3 answers are kept in " + output + ".partial-"));
    EXPECT_FALSE(fs::exists(output));
    fs::remove(partial());
  }
}

TEST_F(GenerateProgram, AnInterruptedRunIsTakenUp) {
  std::string lines;
  for (int i = 0; i < 4000; ++i) {
    lines += format("{{\"input_ids\":[{},17,{},40,1],\"id\":{}}}\n\n", 20 + i % 99, 3 + i % 201, i);
  }
  const std::string file = folder_ / "many.jsonl", output = folder_ / "out.jsonl";
  write_file(file, lines);
  const std::vector<std::string> options = {"--input", file, "--output", output, "--seed", "3"};
  ASSERT_EQ(generate(options).exit_code, 0);
  const std::string whole = read_file(output);
  std::vector<std::string> words = {"generate", "--model",   run(), "--precision",
                                    "fp32",     "--threads", "1",   "--max-new-tokens",
                                    "9"};
  words.insert(words.end(), options.begin(), options.end());
  for (const int signal_number : {SIGKILL, SIGTERM}) {
    fs::remove(output);
    {
      Program program(words);
      EXPECT_TRUE(wait_for_lines(20));
      program.signal(signal_number);
      EXPECT_EQ(program.wait().exit_code, 128 + signal_number);
    }
    ASSERT_FALSE(fs::exists(output)) << "it was done before the signal";
    const ProgramResult rest = generate(options);
    EXPECT_EQ(rest.exit_code, 0) << rest.err;
    EXPECT_THAT(rest.err, HasSubstr("going on with an interrupted run: "));
    EXPECT_EQ(read_file(output), whole);
    EXPECT_EQ(partial(), "");
  }
  // A line that cannot be answered keeps those before it; mended, only what follows is new.
  fs::remove(output);
  const size_t at = lines.find("\"id\":2000");
  write_file(file, lines.substr(0, at) + "!" + lines.substr(at));
  EXPECT_EQ(generate(options).exit_code, 2);
  write_file(file, lines);
  const ProgramResult mended = generate(options);
  EXPECT_EQ(mended.exit_code, 0) << mended.err;
  EXPECT_THAT(mended.err, HasSubstr("going on with an interrupted run: 1,9"));
  EXPECT_EQ(read_file(output), whole);
  // Answers to other lines are not taken for theirs.
  fs::remove(output);
  write_file(file, lines.substr(0, at) + "!" + lines.substr(at));
  EXPECT_EQ(generate(options).exit_code, 2);
  const std::string other = lines.substr(lines.find('\n') + 2);
  write_file(file, other);
  EXPECT_EQ(generate(options).exit_code, 0);
  const std::string resumed = read_file(output);
  fs::remove(output);
  EXPECT_EQ(generate(options).exit_code, 0);
  EXPECT_EQ(read_file(output), resumed);
}

TEST_F(GenerateProgram, OneTextIsPrintedPlainly) {
  const std::string text = "bado <extra_id_0> kilu.";
  write_file(folder_ / "one.jsonl", Json{{"input", text}}.dump() + "\n");
  const ProgramResult lines = generate({"--input", folder_ / "one.jsonl", "--fill"});
  ASSERT_EQ(lines.exit_code, 0) << lines.err;
  const Json answer = Json::parse(lines.out);
  const ProgramResult plain = generate({"--text", text});
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_EQ(plain.out, answer["output"].get<std::string>() + "\n");
  const ProgramResult filled = generate({"--text", text, "--fill"});
  EXPECT_EQ(filled.exit_code, 0) << filled.err;
  EXPECT_EQ(filled.out, answer["filled"].get<std::string>() + "\n");
}

TEST_F(GenerateProgram, AtATerminalItAnswersWhatIsTyped) {
  const std::string text = "bado <extra_id_0> kilu.";
  const std::string wanted = generate({"--text", text}).out;
  ASSERT_GT(wanted.size(), 1u);
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::execl(SWITCHYARD_PROGRAM, "switchyard", "generate", "--model", run().c_str(), "--precision",
            "fp32", "--threads", "1", "--max-new-tokens", "9", nullptr);
    ::_exit(127);
  }
  // Two lines and the end, all typed ahead: the terminal shows them, the program answers each.
  const std::string typed = "\n" + text + "\n" + text + "\n\x04";
  ASSERT_EQ(::write(terminal, typed.data(), typed.size()), static_cast<ssize_t>(typed.size()));
  std::string shown;
  char block[4096];
  for (ssize_t got; (got = ::read(terminal, block, sizeof block)) > 0;) {
    shown.append(block, static_cast<size_t>(got));
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ::close(terminal);
  EXPECT_EQ(status, 0) << shown;
  std::erase(shown, '\r');
  size_t answers = 0;
  for (size_t at = shown.find("> " + wanted); at != std::string::npos;
       at = shown.find("> " + wanted, at + 1)) {
    ++answers;
  }
  EXPECT_EQ(answers, 2u) << shown;
}

TEST_F(GenerateProgram, MistakesNameFileLineAndKey) {
  const std::string good = "{\"input_ids\":[5,1]}\n\n";
  expect_refused(good + "{\"input_ids\":", "wrong.jsonl, line 3");
  expect_refused(good + "{\"input_ids\":[5,512]}", "wrong.jsonl, line 3, key input_ids[1]");
  expect_refused("{\"input\":\"\"}", "the text is empty; " + folder_.path());
  expect_refused("{\"input\":\"a\",\"input_ids\":[1]}", "both `input_ids` and `input`");
  EXPECT_EQ(generate({}).exit_code, 2);
  EXPECT_EQ(generate({"--text", "a", "--input", input()}).exit_code, 2);
  EXPECT_THAT(generate({"--text", "a", "--num-return", "2"}).err, HasSubstr("--num-return 2"));
  EXPECT_THAT(generate({"--text", "a", "--num-beams", "2", "--seed", "1"}).err,
              HasSubstr("sampling and beams"));
  EXPECT_EQ(generate({"--input", folder_ / "none.jsonl"}).exit_code, 2);
  EXPECT_EQ(run_program({"generate", "--help"}).exit_code, 0);
}

TEST_F(GenerateProgram, IdsNeedNoTokenizer) {
  const std::string bare = folder_ / "bare";
  fs::create_directory(bare);
  for (const char* file : {"/config.json", "/model.safetensors"}) {
    fs::copy(run() + "/checkpoints/step-00000030" + file, bare + file);
  }
  write_file(folder_ / "ids.jsonl", "{\"input_ids\":[5,1]}\n");
  write_file(folder_ / "text.jsonl", "{\"input\":\"bado\"}\n");
  const std::vector<std::string> words = {"generate", "--model",     bare,   "--max-new-tokens",
                                          "3",        "--precision", "fp32", "--input"};
  std::vector<std::string> ids = words, text = words;
  ids.push_back(folder_ / "ids.jsonl");
  text.push_back(folder_ / "text.jsonl");
  const ProgramResult answered = run_program(ids);
  EXPECT_EQ(answered.exit_code, 0) << answered.err;
  EXPECT_FALSE(Json::parse(answered.out).contains("output"));
  const ProgramResult refused = run_program(text);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("text.jsonl, line 1, key input"));
}

}  // namespace
}  // namespace switchyard::testing
