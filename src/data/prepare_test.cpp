#include "data/prepare.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <set>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "data/prepared_data.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/made_up_text.h"
#include "tests/small_disk.h"
#include "tests/temporary_folder.h"
#include "text/tokenizer.h"
#include "text/tokenizer_training.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using testing::files_below;
using ::testing::HasSubstr;
using testing::made_up_text;
using testing::put_file;

class PrepareTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<testing::TemporaryFolder>();
    TokenizerTraining training;
    training.vocab_size = 300;
    put_file(model(), train_tokenizer(training, {made_up_text(200)}));
  }
  static void TearDownTestSuite() { shared_.reset(); }
  static std::string model() { return *shared_ / "spiece.model"; }

  PrepareTest() {
    put_file(input_, made_up_text());
    options_.read.inputs = {input_};
    options_.tokenizer = model();
    options_.output = folder_ / "out";
    options_.threads = 2;
    options_.validation_share = 0.1;
  }

  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      names.insert(entry.path().filename());
    }
    return names;
  }
  /// Prepares what must be refused, and checks that nothing is left.
  Error refused() {
    const auto before = names();
    const Error error = error_of([&] { prepare(options_); });
    EXPECT_EQ(names(), before);
    return error;
  }

  /// Input of many batches, and how often its progress may be noted.
  void read_many_batches() {
    std::string lines;
    for (int i = 0; i < 40000; ++i) {
      lines += format("{{\"text\": \"bata {} dolu {}\"}}\n", i % 977, i);
    }
    put_file(folder_ / "lines.jsonl", lines);
    options_.read.inputs = {input_, folder_ / "lines.jsonl", input_};
    options_.shard_tokens = 50000;
    options_.save_bytes = 1;
  }

  /// The process ends within prepare(), at a call of its progress.
  void die_at(int call) {
    EXPECT_EXIT(prepare(options_,
                        [&](const PrepareProgress&) {
                          if (--call == 0) ::_exit(9);
                        }),
                ::testing::ExitedWithCode(9), "");
  }

  static std::unique_ptr<testing::TemporaryFolder> shared_;
  testing::TemporaryFolder folder_;
  std::string input_ = folder_ / "in.txt";
  PrepareOptions options_;
};

std::unique_ptr<testing::TemporaryFolder> PrepareTest::shared_;

TEST_F(PrepareTest, HoldsTheIdsOfTheDocuments) {
  put_file(input_, "bata dolu\n\nkelo <extra_id_0>\n\n \n\nbata\n");
  options_.validation_share = 0;
  const PrepareSummary summary = prepare(options_);
  EXPECT_FALSE(fs::exists(options_.output + "/validation"));
  EXPECT_EQ(summary.read.documents, 3u);
  EXPECT_EQ(summary.read.empty, 1u);
  const PreparedData data(options_.output + "/train");
  data.verify();
  const Tokenizer tokenizer(model());
  EXPECT_EQ(data.tokenizer_hash(), tokenizer.hash());
  EXPECT_EQ(data.vocab_size(), 300);
  ASSERT_EQ(data.num_documents(), 3u);
  EXPECT_EQ(data.document(0), tokenizer.encode("bata dolu"));
  EXPECT_EQ(data.document(2), tokenizer.encode("bata"));
  std::vector<int32_t> ids;
  tokenizer.encode_document("kelo <extra_id_0>", ids);
  EXPECT_EQ(data.document(1), ids);
  for (const int32_t id : data.document(1)) EXPECT_FALSE(tokenizer.is_sentinel(id));
  EXPECT_EQ(summary.to_json()["train"]["documents"], 3);
}

TEST_F(PrepareTest, TheSameBytesForAnyNumberOfThreads) {
  std::string lines;
  for (int i = 0; i < 20000; ++i)
    lines += format("{{\"text\": \"bata {} dolu {}\"}}\n", i % 977, i);
  put_file(folder_ / "more.jsonl.gz", testing::gzip(lines));
  options_.read.inputs = {input_, folder_ / "more.jsonl.gz"};
  options_.shard_tokens = 20000;
  std::map<std::string, std::string> first;
  for (const int threads : {1, 2, 5}) {
    options_.threads = threads;
    options_.output = folder_ / format("out-{}", threads);
    prepare(options_);
    const auto files = files_below(options_.output);
    EXPECT_GT(files.size(), 10u) << "several shards";
    if (threads == 1) first = files;
    EXPECT_TRUE(files == first) << threads << " threads";
  }
}

TEST_F(PrepareTest, DuplicatesStayOnOneSideOfTheSplit) {
  // Every sentence comes three times, as part of text and of JSON.
  std::string lines;
  const std::string text = made_up_text();
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find("\n\n", begin);
    lines += "{\"text\": \" " + text.substr(begin, end - begin) + "\\n\"}\n";
    begin = end + 2;
  }
  put_file(folder_ / "again.jsonl", lines);
  options_.read.inputs = {input_, folder_ / "again.jsonl", input_};
  const PrepareSummary summary = prepare(options_);
  EXPECT_EQ(summary.read.documents, 4500u);
  EXPECT_NEAR(static_cast<double>(summary.validation->documents), 450, 5 * 20 * 3) << "a tenth";
  std::set<std::vector<int32_t>> train;
  const PreparedData train_data(options_.output + "/train");
  for (uint64_t i = 0; i < train_data.num_documents(); ++i) train.insert(train_data.document(i));
  const PreparedData held_out(options_.output + "/validation");
  for (uint64_t i = 0; i < held_out.num_documents(); ++i) {
    EXPECT_EQ(train.count(held_out.document(i)), 0u);
  }
  EXPECT_EQ(train_data.num_documents() % 3, 0u);
}

TEST_F(PrepareTest, SplitFollowsShareAndSeed) {
  int both = 0, first = 0, second = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = format("document {}", i);
    EXPECT_FALSE(is_validation(text, 0, 1));
    const bool small = is_validation(text, 0.1, 1);
    // A larger share holds the smaller one.
    EXPECT_TRUE(!small || is_validation(text, 0.3, 1)) << i;
    first += small;
    second += is_validation(text, 0.1, 2);
    both += small && is_validation(text, 0.1, 2);
  }
  // 5 standard deviations.
  EXPECT_NEAR(first, 2000, 212);
  EXPECT_NEAR(second, 2000, 212);
  EXPECT_NEAR(both, 200, 71);
}

TEST_F(PrepareTest, WhatIsLeftOutIsCounted) {
  put_file(folder_ / "a.jsonl",
           "{\"text\": \"bata\"}\n{\"text\": \"cut\n{\"no\": 1}\n{\"text\": \"\xFF "
           "dolu\"}\n{\"text\": \" \"}\n");
  options_.read.inputs = {folder_ / "a.jsonl"};
  options_.validation_share = 0;
  const PrepareSummary summary = prepare(options_);
  EXPECT_EQ(summary.read.documents, 2u);
  EXPECT_EQ(summary.read.malformed_json, 1u);
  EXPECT_EQ(summary.read.missing_text, 1u);
  EXPECT_EQ(summary.read.invalid_utf8_replaced, 1u);
  EXPECT_EQ(summary.read.empty, 1u);
  const auto manifest = nlohmann::json::parse(read_file(options_.output + "/train/dataset.json"));
  EXPECT_EQ(manifest["read"]["malformed_json"], 1);
  EXPECT_EQ(manifest["sources"], nlohmann::json::array({folder_ / "a.jsonl"}));
}

TEST_F(PrepareTest, InputWithoutTextIsRefused) {
  for (const char* text : {"", "\n \n\t\n", "\uFEFF"}) {
    put_file(input_, text);
    const Error error = refused();
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("no text in the input; " + input_));
  }
  options_.read.inputs = {folder_ / "none"};
  EXPECT_EQ(refused().kind(), ErrorKind::kUsage);
}

TEST_F(PrepareTest, DamagedInputLeavesNothing) {
  std::string bytes = testing::gzip(made_up_text(20000));
  put_file(input_, bytes.substr(0, bytes.size() / 2));
  Error error = refused();
  EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
  EXPECT_THAT(error.what(), HasSubstr("compressed data is cut off; " + input_));
  bytes = testing::zstd(made_up_text(20000));
  bytes[bytes.size() / 2] ^= 8;
  put_file(input_, bytes);
  error = refused();
  EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
}

TEST_F(PrepareTest, TokenizersThatDoNotServeAreRefused) {
  options_.tokenizer = folder_ / "none";
  EXPECT_EQ(refused().kind(), ErrorKind::kUsage);
  options_.tokenizer = input_;
  EXPECT_EQ(refused().kind(), ErrorKind::kDamaged);
}

TEST_F(PrepareTest, OnlyPreparedDataIsReplacedAndOnlyIfAsked) {
  prepare(options_);
  const auto before = files_below(options_.output);
  EXPECT_THAT(refused().what(), HasSubstr("--overwrite"));
  EXPECT_TRUE(files_below(options_.output) == before);
  put_file(input_, "other words\n\nand more");
  options_.overwrite = true;
  prepare(options_);
  EXPECT_FALSE(files_below(options_.output) == before);
  EXPECT_EQ(names(), (std::set<std::string>{"in.txt", "out"}));
  put_file(options_.output + "/thesis.txt", "mine");
  EXPECT_THAT(refused().what(), HasSubstr("holds other files"));
  EXPECT_EQ(read_file(options_.output + "/thesis.txt"), "mine");
  options_.output = input_;
  EXPECT_THAT(refused().what(), HasSubstr("the output is a file"));
}

TEST_F(PrepareTest, OutputMayBeAnEmptyFolderUnderAnyName) {
  make_directories(folder_ / "real/empty");
  fs::create_directory_symlink(folder_ / "real/empty", folder_ / "link");
  for (const std::string& place : {folder_ / "real/empty/", folder_ / "real/empty/.",
                                   folder_ / "real/x/../empty", folder_ / "link"}) {
    fs::remove_all(folder_ / "real/empty");
    make_directories(folder_ / "real/empty");
    options_.output = place;
    prepare(options_);
    EXPECT_TRUE(fs::exists(folder_ / "real/empty/train/dataset.json")) << place;
  }
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
}

TEST_F(PrepareTest, LeftoversOfDeadProcessesAreRemoved) {
  make_directories(folder_ / "out.tmp-999999999/train");          // no such process
  make_directories(folder_ / format("out.tmp-{}", ::getppid()));  // that one lives
  make_directories(folder_ / "out.tmp-notes");
  prepare(options_);
  EXPECT_EQ(names(), (std::set<std::string>{"in.txt", "out", "out.tmp-notes",
                                            format("out.tmp-{}", ::getppid())}));
}

TEST_F(PrepareTest, AFolderThatSomebodyHoldsIsLeftAlone) {
  // Of a process that cannot be seen from here, as in another container.
  const std::string theirs = folder_ / "out.tmp-999999999";
  make_directories(theirs + "/train");
  const int held = ::open(theirs.c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  prepare(options_);
  EXPECT_TRUE(fs::exists(theirs + "/train"));
  ::close(held);
  options_.overwrite = true;
  prepare(options_);
  EXPECT_FALSE(fs::exists(theirs));
}

TEST_F(PrepareTest, StopLeavesNothing) {
  std::atomic<int> asked = 0;
  options_.read.stop = [&] { return ++asked > 3; };
  put_file(input_, made_up_text(40000));
  const Error error = refused();
  EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
  EXPECT_THAT(error.what(), HasSubstr("interrupted"));
}

TEST_F(PrepareTest, WhatWasCutOffGoesOnToTheSameBytes) {
  read_many_batches();
  prepare(options_);
  const auto whole = files_below(options_.output);
  fs::remove_all(options_.output);
  const PrepareSummary anew = prepare(options_);
  fs::remove_all(options_.output);
  for (int call = 1; call <= 9; ++call) {
    die_at(call);
    if (call % 3 == 0) die_at(2);  // while it goes on
    options_.threads = 1 + call % 3;
    uint64_t first = 0;
    const PrepareSummary summary = prepare(options_, [&](const PrepareProgress& at) {
      if (first == 0) first = at.documents;
    });
    EXPECT_TRUE(files_below(options_.output) == whole) << call;
    EXPECT_GT(first, static_cast<uint64_t>(call) * 1000) << "what was done is done again";
    EXPECT_EQ(summary.read.documents, anew.read.documents);
    EXPECT_EQ(summary.without_tokens, anew.without_tokens);
    fs::remove_all(options_.output);
    EXPECT_EQ(names(), (std::set<std::string>{"in.txt", "lines.jsonl"})) << call;
  }
}

TEST_F(PrepareTest, StopKeepsWhatWasDone) {
  read_many_batches();
  prepare(options_);
  const auto whole = files_below(options_.output);
  fs::remove_all(options_.output);
  std::atomic<bool> stop = false;
  options_.read.stop = [&] { return stop.load(); };
  uint64_t done = 0;
  const Error error = error_of([&] {
    prepare(options_, [&](const PrepareProgress& at) {
      done = at.documents;
      stop = done > 10000;
    });
  });
  EXPECT_THAT(error.what(), HasSubstr("interrupted"));
  EXPECT_FALSE(fs::exists(options_.output));
  stop = false;
  uint64_t first = 0;
  prepare(options_, [&](const PrepareProgress& at) { first = first ? first : at.documents; });
  EXPECT_GT(first, done) << "all that was done counts";
  EXPECT_TRUE(files_below(options_.output) == whole);
}

TEST_F(PrepareTest, WhatDoesNotFitIsNotTakenUp) {
  read_many_batches();
  const auto expect_anew = [&](const std::string& what) {
    uint64_t first = 0;
    prepare(options_, [&](const PrepareProgress& at) { first = first ? first : at.documents; });
    EXPECT_LT(first, 5000u) << what;
    const auto found = files_below(options_.output);
    fs::remove_all(options_.output);
    prepare(options_);
    EXPECT_TRUE(files_below(options_.output) == found) << what;
    fs::remove_all(options_.output);
  };
  die_at(6);
  options_.split_seed = 5;
  expect_anew("another split");
  die_at(6);
  put_file(input_, made_up_text(700));
  expect_anew("another input");
  die_at(6);
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
    const std::string path = entry.path();
    if (path.find("shard-00000.tokens") == std::string::npos) continue;
    std::string bytes = read_file(path);
    bytes[bytes.size() / 2] ^= 1;
    put_file(path, bytes);
  }
  expect_anew("damaged tokens");
  die_at(6);
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    const std::string state = entry.path() / "prepare.json";
    if (fs::exists(state)) put_file(state, read_file(state).substr(0, 100));
  }
  expect_anew("half a state");
}

TEST_F(PrepareTest, InputThatChangedUnseenIsRefused) {
  read_many_batches();
  die_at(6);
  const auto time = fs::last_write_time(input_);
  std::string text = read_file(input_);
  text[text.size() / 2] = '#';
  put_file(input_, text);
  fs::last_write_time(input_, time);
  EXPECT_THAT(error_of([&] { prepare(options_); }).what(), HasSubstr("is not what it was"));
  prepare(options_);
}

TEST_F(PrepareTest, FullDiskLeavesNothing) {
  make_directories(folder_ / "disk");
  const testing::SmallDisk disk(folder_ / "disk", 128);
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a small disk";
  options_.output = folder_ / "disk";
  EXPECT_THAT(refused().what(), HasSubstr("root of a disk")) << "said before the work, not after";
  options_.output = folder_ / "disk/out";
  put_file(input_, made_up_text(20000));
  const Error error = refused();
  EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
  EXPECT_THAT(error.what(), HasSubstr("No space left on device; " + options_.output + "/"));
  EXPECT_TRUE(files_below(folder_ / "disk").empty());
  ASSERT_TRUE(disk.make_read_only());
  const Error read_only = refused();
  EXPECT_EQ(read_only.kind(), ErrorKind::kRuntime);
  EXPECT_THAT(read_only.what(), HasSubstr("Read-only file system; " + options_.output));
}

TEST_F(PrepareTest, ProgressReachesTheEnd) {
  PrepareProgress last{};
  prepare(options_, [&](const PrepareProgress& at) { last = at; });
  EXPECT_EQ(last.consumed_bytes, fs::file_size(input_));
  EXPECT_EQ(last.total_bytes, fs::file_size(input_));
  EXPECT_EQ(last.documents, 1500u);
}

}  // namespace
}  // namespace switchyard
