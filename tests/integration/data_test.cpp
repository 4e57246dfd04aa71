// Tokenizer, preparing and what reads its results, through the real program: bad input of all kinds
// ends in one clear line and the right exit code, and leaves nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/format.h"
#include "base/random.h"
#include "tests/integration/program.h"
#include "tests/made_up_text.h"
#include "tests/small_disk.h"

namespace switchyard::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

class DataProgram : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TemporaryFolder>();
    write_file(text(), made_up_text());
    const ProgramResult result = run_program(
        {"tokenizer", "train", "--input", text(), "--vocab-size", "300", "--output", model()});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::string text() { return *shared_ / "text.txt"; }
  static std::string model() { return *shared_ / "spiece.model"; }

  Words prepare_command(const Words& more = {}) const {
    Words words = {"prepare", "--tokenizer", model(), "--output", folder_ / "out"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words train_tokenizer_command(const Words& more = {}) const {
    Words words = {"tokenizer", "train", "--output", folder_ / "new.model"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      names.insert(entry.path().filename());
    }
    return names;
  }

  /// The command must fail: one line on stderr, `message` in it, nothing new in the folder.
  void expect_refused(const Words& command, int exit_code, const std::string& message,
                      const std::string& shell_before = {}) const {
    const auto before = names();
    const ProgramResult result = run_program(command, shell_before);
    EXPECT_EQ(result.exit_code, exit_code) << message << "\n" << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.out, "") << message;
    // Warnings may come before; the error is the last line and the only one of its kind.
    const size_t at = result.err.find("switchyard: error: ");
    ASSERT_NE(at, std::string::npos) << result.err;
    EXPECT_EQ(result.err.find('\n', at), result.err.size() - 1) << result.err;
    std::istringstream lines(result.err.substr(0, at));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_TRUE(line.starts_with("[warning] ") || line.starts_with("[info] ")) << line;
    }
    EXPECT_EQ(names(), before) << message;
  }

  static std::unique_ptr<TemporaryFolder> shared_;
  TemporaryFolder folder_;
};

std::unique_ptr<TemporaryFolder> DataProgram::shared_;

TEST_F(DataProgram, TokenizerTrainRefusesBadInput) {
  expect_refused(train_tokenizer_command({"--vocab-size", "300", "--input", folder_ / "none"}), 2,
                 "cannot open: No such file or directory; " + (folder_ / "none"));
  write_file(folder_ / "empty.txt", "");
  expect_refused(train_tokenizer_command({"--vocab-size", "300", "--input", folder_ / "empty.txt"}),
                 2, "no text in the input; " + (folder_ / "empty.txt"));
  write_file(folder_ / "bytes.txt", std::string(1000, '\xFF'));
  expect_refused(train_tokenizer_command({"--vocab-size", "300", "--input", folder_ / "bytes.txt"}),
                 2, "no text to train a tokenizer on");
  expect_refused(train_tokenizer_command({"--vocab-size", "100000", "--input", text()}), 2,
                 "vocabulary larger than the text allows; --vocab-size 100000; give more text or "
                 "at most ");
  expect_refused(train_tokenizer_command({"--vocab-size", "105", "--input", text()}), 2,
                 "vocabulary smaller than the text's set of characters");
  expect_refused(train_tokenizer_command({"--vocab-size", "many", "--input", text()}), 2,
                 "--vocab-size");
  expect_refused({"tokenizer", "train", "--input", text(), "--vocab-size", "300", "--output",
                  folder_ / "none/new.model"},
                 2, folder_ / "none/new.model");
}

TEST_F(DataProgram, EncodeAndDecodeAreInverse) {
  write_file(folder_ / "lines", "bata <extra_id_0> dolu\n\nkelo\xFF!");
  const ProgramResult encoded = run_program({"tokenizer", "encode", "--model", model(), "--input",
                                             folder_ / "lines", "--json", "--pieces"});
  ASSERT_EQ(encoded.exit_code, 0) << encoded.err;
  std::istringstream lines(encoded.out);
  std::vector<json> objects;
  for (std::string line; std::getline(lines, line);) objects.push_back(json::parse(line));
  ASSERT_EQ(objects.size(), 3u);
  EXPECT_EQ(objects[0]["ids"].size(), objects[0]["pieces"].size());
  EXPECT_THAT(objects[0]["ids"].dump(), HasSubstr("299")) << "the first sentinel is the highest id";
  EXPECT_TRUE(objects[1]["ids"].empty());
  EXPECT_THAT(objects[2]["ids"].dump(), HasSubstr("2")) << "unknown";

  write_file(folder_ / "ids", encoded.out);
  const ProgramResult decoded =
      run_program({"tokenizer", "decode", "--model", model(), "--input", folder_ / "ids"});
  EXPECT_EQ(decoded.exit_code, 0) << decoded.err;
  EXPECT_THAT(decoded.out, ::testing::StartsWith("bata<extra_id_0> dolu\n\nkelo"));
}

TEST_F(DataProgram, DecodeTakesNoNonsense) {
  // 4294967299 is 2^32 + 3: it must not wrap into an id.
  write_file(folder_ / "ids", "4294967299\n[4294967299]\n-1\n");
  const ProgramResult far =
      run_program({"tokenizer", "decode", "--model", model(), "--input", folder_ / "ids"});
  EXPECT_EQ(far.exit_code, 0) << far.err;
  EXPECT_EQ(far.out, " \u2047 \n \u2047 \n \u2047 \n");
  for (const std::string& line :
       {std::string("3 x 4"), std::string("{\"ids\": [3.5]}"), std::string("[3"),
        std::string("3,4"), std::string("3\0004", 3)}) {
    write_file(folder_ / "ids", line + "\n");
    expect_refused({"tokenizer", "decode", "--model", model(), "--input", folder_ / "ids"}, 2,
                   "a line is not a list of ids; line 1");
  }
}

TEST_F(DataProgram, ModelsThatAreNone) {
  write_file(folder_ / "text.model", "plain text");
  const std::string sound = read_file(model());
  write_file(folder_ / "half.model", sound.substr(0, sound.size() / 2));
  for (const char* name : {"text.model", "half.model"}) {
    expect_refused({"tokenizer", "encode", "--model", folder_ / name, "--input", text()}, 3,
                   "not a sound SentencePiece model");
    expect_refused(
        {"prepare", "--tokenizer", folder_ / name, "--input", text(), "--output", folder_ / "out"},
        3, folder_ / name);
  }
  expect_refused({"tokenizer", "encode", "--model", folder_ / "none", "--input", text()}, 2,
                 folder_ / "none");
}

TEST_F(DataProgram, PrepareRefusesBadInput) {
  expect_refused(prepare_command({"--input", folder_ / "none"}), 2, folder_ / "none");
  write_file(folder_ / "empty.txt", "");
  expect_refused(prepare_command({"--input", folder_ / "empty.txt"}), 2, "no text in the input");
  write_file(folder_ / "blank.txt", "\n \n\n\t\n");
  expect_refused(prepare_command({"--input", folder_ / "blank.txt"}), 2, "left out: 2 empty");
  write_file(folder_ / "other.jsonl", "{\"body\": \"x\"}\nnonsense\n");
  expect_refused(prepare_command({"--input", folder_ / "other.jsonl"}), 2,
                 "left out: 1 malformed JSON, 1 without text");
  fs::create_directory(folder_ / "folder");
  expect_refused(prepare_command({"--input", folder_ / "folder"}), 2, "no text in the folder");
  expect_refused(prepare_command({"--input", text(), "--documents", "chapter"}), 2, "--documents");
  expect_refused(prepare_command({"--input", text(), "--validation-share", "2"}), 2,
                 "--validation-share");
  expect_refused(prepare_command({"--input", text(), "--tokeniser", "x"}), 2,
                 "did you mean '--tokenizer'");
  write_file(folder_ / "file", "");
  expect_refused(
      {"prepare", "--tokenizer", model(), "--input", text(), "--output", folder_ / "file/out"}, 2,
      folder_ / "file/out");
}

TEST_F(DataProgram, MisspeltNamesAreToldBeforeWhatIsMissing) {
  expect_refused({"prepare", "--tokeniser", model()}, 2,
                 "unknown option '--tokeniser'; command line; did you mean '--tokenizer'");
  expect_refused({"generate", "--modle", "x", "--text", "a"}, 2,
                 "unknown option '--modle'; command line; did you mean '--model'");
  expect_refused({"trian"}, 2, "unknown command 'trian'; command line; did you mean 'train'");
  expect_refused({"--foo"}, 2, "unknown option '--foo'");
}

TEST_F(DataProgram, DamagedCompressionIsExit3) {
  ASSERT_EQ(std::system(format("gzip -c {} > {}", text(), folder_ / "a.gz").c_str()), 0);
  const std::string sound = read_file(folder_ / "a.gz");
  write_file(folder_ / "cut.txt.gz", sound.substr(0, sound.size() - 100));
  expect_refused(prepare_command({"--input", folder_ / "cut.txt.gz"}), 3,
                 "compressed data is cut off; " + (folder_ / "cut.txt.gz") + ", byte ");
  std::string changed = sound;
  changed[changed.size() / 2] ^= 1;
  write_file(folder_ / "changed.txt.gz", changed);
  expect_refused(prepare_command({"--input", folder_ / "changed.txt.gz"}), 3,
                 "compressed data is damaged");
  expect_refused(
      train_tokenizer_command({"--vocab-size", "300", "--input", folder_ / "changed.txt.gz"}), 3,
      "compressed data is damaged");
}

TEST_F(DataProgram, InvalidUtf8IsCounted) {
  write_file(folder_ / "in.txt", "bata \xFF\xC3 dolu\n\nkelo\n\nbata\n");
  for (const char* what : {"replace", "skip"}) {
    const ProgramResult result =
        run_program(prepare_command({"--input", folder_ / "in.txt", "--json", "--overwrite",
                                     "--invalid-utf8", what, "--validation-share", "0"}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const json summary = json::parse(result.out);
    const bool replace = std::string(what) == "replace";
    EXPECT_EQ(summary["read"]["documents"], replace ? 3 : 2);
    EXPECT_EQ(summary["read"]["invalid_utf8_replaced"], replace ? 1 : 0);
    EXPECT_EQ(summary["read"]["invalid_utf8_skipped"], replace ? 0 : 1);
    EXPECT_THAT(result.err, HasSubstr("in.txt:1: invalid UTF-8"));
  }
}

// A line of 100 MB: plain text is cut into documents, JSON that long is left out and counted.
TEST_F(DataProgram, ALineOf100Megabytes) {
  const std::string make = format(
      "yes 'bata dolu' | head -c 100000000 | tr '\\n' ' ' | gzip -1 > {}", folder_ / "long.gz");
  ASSERT_EQ(std::system(make.c_str()), 0);
  const std::string limits = "ulimit -v 3000000";
  const ProgramResult result =
      run_program(prepare_command({"--input", folder_ / "long.gz", text(), "--format", "jsonl",
                                   "--max-document-bytes", "1048576", "--threads", "2"}),
                  limits);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("1 lines too long"));
  ASSERT_EQ(std::system(format("head -c 3000000 /dev/zero | tr '\\0' a | gzip -1 > {}",
                               folder_ / "solid.gz")
                            .c_str()),
            0);
  const ProgramResult cut =
      run_program(prepare_command({"--input", folder_ / "solid.gz", "--max-document-bytes", "65536",
                                   "--json", "--validation-share", "0", "--threads", "2"}),
                  limits);
  ASSERT_EQ(cut.exit_code, 0) << cut.err;
  EXPECT_EQ(json::parse(cut.out)["read"]["split_documents"], 3000000 / 65536);
}

TEST_F(DataProgram, StandardInput) {
  const ProgramResult result =
      run_program(prepare_command({"--input", "-", "--json", "--validation-share", "0.5"}),
                  format("exec < {}", text()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json summary = json::parse(result.out);
  EXPECT_EQ(summary["read"]["documents"], 1500);
  EXPECT_EQ(
      summary["train"]["documents"].get<int>() + summary["validation"]["documents"].get<int>(),
      1500);
  EXPECT_TRUE(fs::exists(folder_ / "out/validation/dataset.json"));
}

// Both while there is much to do and while standard input keeps the program waiting.
TEST_F(DataProgram, SignalsLeaveNothingBehind) {
  {
    std::ofstream big(folder_ / "big.txt");
    for (int i = 0; i < 300; ++i) big << read_file(text());
  }
  ASSERT_EQ(::mkfifo((folder_ / "idle").c_str(), 0600), 0);
  const auto before = names();
  for (const int signal_number : {SIGINT, SIGTERM}) {
    for (const bool idle : {false, true}) {
      // Opened for reading and writing, the pipe never ends.
      Program program(prepare_command({"--input", idle ? "-" : folder_ / "big.txt"}),
                      idle ? format("exec <> {}", folder_ / "idle") : "");
      bool started = false;
      for (int waited = 0; waited < 1000 && !started; ++waited) {
        started = names().size() > before.size();
        ::usleep(10000);
      }
      ASSERT_TRUE(started);
      program.signal(signal_number);
      const ProgramResult result = program.wait();
      EXPECT_EQ(result.exit_code, 128 + signal_number) << result.err;
      EXPECT_EQ(names(), before) << "idle: " << idle;
    }
  }
  // A killed process cannot clean up, but there is no final folder, and the next run removes the
  // rest.
  {
    Program program(prepare_command({"--input", folder_ / "big.txt"}));
    for (int waited = 0; waited < 1000 && names() == before; ++waited) ::usleep(10000);
    program.signal(SIGKILL);
    EXPECT_EQ(program.wait().exit_code, 128 + SIGKILL);
  }
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_NE(names(), before);
  ASSERT_EQ(run_program(prepare_command({"--input", text()})).exit_code, 0);
  auto after = before;
  after.insert("out");
  EXPECT_EQ(names(), after);
}

/// Contents of all files below a folder, by relative path.
std::map<std::string, std::string> files_below(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[fs::relative(entry.path(), folder).string()] = read_file(entry.path());
  }
  return files;
}

// Killed at any moment `prepare` leaves its place as it was or holding all it should hold, and the
// same command makes the same bytes. SWITCHYARD_KILLS sets how often (8).
TEST_F(DataProgram, KilledPrepareIsDoneAgainToTheSameBytes) {
  {
    std::ofstream big(folder_ / "big.txt");
    for (int i = 0; i < 15; ++i) big << read_file(text());
  }
  const Words command = prepare_command({"--input", folder_ / "big.txt", "--validation-share",
                                         "0.1", "--shard-tokens", "20000", "--overwrite"});
  ASSERT_EQ(run_program(prepare_command({"--input", text()})).exit_code, 0);
  const auto before = files_below(folder_ / "out");
  fs::rename(folder_ / "out", folder_ / "kept");
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(run_program(command).exit_code, 0);
  const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  const auto wanted = files_below(folder_ / "out");
  const char* kills = std::getenv("SWITCHYARD_KILLS");
  const int count = kills ? std::atoi(kills) : 8;
  int unfinished = 0;
  for (int i = 0; i < count; ++i) {
    // Over data that is there every second time: it is replaced as a whole.
    fs::remove_all(folder_ / "out");
    if (i % 2) fs::copy(folder_ / "kept", folder_ / "out", fs::copy_options::recursive);
    {
      Program program(command);
      const auto share = RandomStream(1, kRandomTest).uniform(static_cast<uint64_t>(i));
      ::usleep(static_cast<useconds_t>(share * static_cast<double>(taken.count())));
      program.signal(SIGKILL);
      program.wait();
    }
    if (i % 2 || fs::exists(folder_ / "out")) {
      const auto there = files_below(folder_ / "out");
      ASSERT_TRUE(there == wanted || (i % 2 && there == before)) << i;
      unfinished += there == before;
    } else {
      ++unfinished;
    }
    if (i % 4) continue;  // often killed again before it is done once
    ASSERT_EQ(run_program(command).exit_code, 0);
    ASSERT_TRUE(files_below(folder_ / "out") == wanted) << i;
    for (const std::string& name : names()) ASSERT_EQ(name.find(".tmp-"), std::string::npos);
  }
  EXPECT_GT(unfinished, count / 4) << "kills came too late to mean anything";
}

TEST_F(DataProgram, FullDiskLeavesNothing) {
  // 512-byte blocks: a limit of the file size stands for a full disk where none can be mounted.
  expect_refused(prepare_command({"--input", text()}), 1, "cannot write: File too large; ",
                 "ulimit -f 20");
  expect_refused(train_tokenizer_command({"--vocab-size", "300", "--input", text()}), 1,
                 "cannot write: File too large; " + (folder_ / "new.model"), "ulimit -f 20");
  const ProgramResult no_output = run_program(
      {"tokenizer", "encode", "--model", model(), "--input", text()}, "exec > /dev/full");
  EXPECT_EQ(no_output.exit_code, 1);
  EXPECT_THAT(no_output.err, HasSubstr("cannot write: No space left on device; standard output"));
}

TEST_F(DataProgram, SmallAndReadOnlyDisks) {
  fs::create_directory(folder_ / "disk");
  const SmallDisk disk(folder_ / "disk", 64);
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a small disk";
  const Words prepare = {"prepare",  "--tokenizer",       model(), "--input", text(),
                         "--output", folder_ / "disk/out"};
  const Words train = {"tokenizer",    "train", "--input",  text(),
                       "--vocab-size", "300",   "--output", folder_ / "disk/new.model"};
  expect_refused(prepare, 1, "No space left on device; " + (folder_ / "disk/out/"));
  expect_refused(train, 1, "No space left on device; " + (folder_ / "disk/new.model"));
  EXPECT_TRUE(fs::is_empty(folder_ / "disk"));
  ASSERT_TRUE(disk.make_read_only());
  expect_refused(prepare, 1, "Read-only file system; " + (folder_ / "disk/out"));
  expect_refused(train, 1, "Read-only file system; " + (folder_ / "disk/new.model"));
}

constexpr const char* kRecipe = R"(
[model]
d_model = 32
d_ff = 64
d_kv = 8
num_heads = 4
num_encoder_layers = 2
num_decoder_layers = 2
vocab_size = 512
[model.moe]
num_experts = 2
[data]
input_length = 32
[train]
steps = 20
batch_sequences = 16
precision = "fp32"
log_every = 5
evaluate_every = 0
)";

TEST_F(DataProgram, DamagedDataIsNotTrainedOn) {
  ASSERT_EQ(run_program(prepare_command({"--input", text()})).exit_code, 0);
  write_file(folder_ / "recipe.toml", kRecipe);
  const Words train = {"train",
                       "--recipe",
                       folder_ / "recipe.toml",
                       "--run-dir",
                       folder_ / "run",
                       "--set",
                       "data.train=" + (folder_ / "out/train"),
                       "--set",
                       "data.validation=" + (folder_ / "out/validation")};
  const std::string shard = folder_ / "out/train/shard-00000.tokens";
  const std::string sound = read_file(shard);
  write_file(shard, sound.substr(0, sound.size() - 10));
  expect_refused(
      train, 3,
      format("file has {} bytes instead of {}; {}", sound.size() - 10, sound.size(), shard));
  fs::remove(shard);
  expect_refused(train, 3, "file missing; " + shard);
  write_file(shard, sound);
  const std::string manifest = folder_ / "out/train/dataset.json";
  const std::string description = read_file(manifest);
  write_file(manifest, description.substr(0, description.size() / 2));
  expect_refused(train, 3, manifest);
  json newer = json::parse(description);
  newer["version"] = 2;
  write_file(manifest, newer.dump());
  expect_refused(train, 2, "prepared data of version 2; " + manifest);
  expect_refused({"eval", "--model", folder_ / "none", "--data", folder_ / "out/validation"}, 2,
                 folder_ / "none");
}

// The least share of several windows, since others load the machine; the first holds the start.
}  // namespace
}  // namespace switchyard::testing
