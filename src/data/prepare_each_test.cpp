#include "data/prepare_each.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/input_groups.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/made_up_text.h"
#include "tests/temporary_folder.h"
#include "text/tokenizer_training.h"

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::files_below;
using ::testing::HasSubstr;
using testing::put_file;
namespace fs = std::filesystem;

TEST(InputGroups, GoByTheNameUpToTheFirstDot) {
  const auto groups =
      group_inputs({"x/de.jsonl.zst", "y/fr/", "x/de.more.jsonl", "./z/../zh-hans.txt"});
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].name, "de");
  EXPECT_THAT(groups[0].inputs, ElementsAre("x/de.jsonl.zst", "x/de.more.jsonl"));
  EXPECT_EQ(groups[1].name, "fr");
  EXPECT_EQ(groups[2].name, "zh-hans");
}

TEST(InputGroups, RefuseInputsWithoutAName) {
  for (const char* input : {"-", "x/.hidden", "/", ".."}) {
    EXPECT_EQ(error_of([&] { group_inputs({input}); }).kind(), ErrorKind::kUsage) << input;
  }
}

class PrepareEach : public ::testing::Test {
 protected:
  PrepareEach() {
    put_file(folder_ / "aa.txt", testing::made_up_text());
    put_file(folder_ / "bb.txt", "another language\n\nof four words\n\nand more lines\n\n");
    TokenizerTraining training;
    training.vocab_size = 300;
    put_file(folder_ / "spiece.model",
             train_tokenizer(training, {testing::made_up_text(), "another language of words"}));
    options_.read.inputs = {folder_ / "aa.txt", folder_ / "bb.txt"};
    options_.tokenizer = folder_ / "spiece.model";
    options_.output = folder_ / "out";
    options_.validation_share = 0.3;
  }

  std::vector<bool> were_ready() const {
    std::vector<bool> ready;
    for (const PreparedLanguage& language : prepare_each(options_)) {
      ready.push_back(language.was_ready);
    }
    return ready;
  }

  testing::TemporaryFolder folder_;
  PrepareOptions options_;
};

TEST_F(PrepareEach, EachLanguageIsAsIfPreparedAlone) {
  const auto languages = prepare_each(options_);
  ASSERT_EQ(languages.size(), 2u);
  EXPECT_EQ(languages[1].name, "bb");
  PrepareOptions alone = options_;
  alone.read.inputs = {folder_ / "bb.txt"};
  alone.output = folder_ / "alone";
  prepare(alone);
  EXPECT_EQ(files_below(folder_ / "out/bb"), files_below(folder_ / "alone"));
  EXPECT_TRUE(fs::exists(folder_ / "out/aa/validation/dataset.json"));
  EXPECT_EQ(languages_json(languages)["bb"]["train"]["tokens"], languages[1].summary.train.tokens);
}

TEST_F(PrepareEach, WhatIsReadyStays) {
  EXPECT_THAT(were_ready(), ElementsAre(false, false));
  const auto before = files_below(folder_ / "out");
  EXPECT_THAT(were_ready(), ElementsAre(true, true));
  fs::remove_all(folder_ / "out/aa");
  EXPECT_THAT(were_ready(), ElementsAre(false, true));
  EXPECT_EQ(files_below(folder_ / "out"), before);
}

TEST_F(PrepareEach, OtherOptionsOrNewerInputAreNotReady) {
  prepare_each(options_);
  const auto expect_refused = [&] {
    const Error error = error_of([&] { prepare_each(options_); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  };
  options_.validation_share = 0.2;
  expect_refused();
  options_.overwrite = true;
  EXPECT_THAT(were_ready(), ElementsAre(false, false));
  EXPECT_THAT(were_ready(), ElementsAre(true, true));
  fs::last_write_time(
      folder_ / "bb.txt",
      fs::last_write_time(folder_ / "out/bb/train/dataset.json") + std::chrono::seconds(5));
  EXPECT_THAT(were_ready(), ElementsAre(true, false));
}

}  // namespace
}  // namespace switchyard
