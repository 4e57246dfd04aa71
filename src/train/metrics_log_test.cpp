#include "train/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

using testing::ElementsAre;

class MetricsLogTest : public testing::Test {
 protected:
  ~MetricsLogTest() override { std::filesystem::remove(path_); }

  std::vector<int64_t> steps() const {
    std::vector<int64_t> all;
    for (const auto& line : read_metrics(path_).lines) all.push_back(line["step"].get<int64_t>());
    return all;
  }

  const std::string path_ = testing::TempDir() + format("metrics-log-{}.jsonl", ::getpid());
};

TEST_F(MetricsLogTest, LinesComeBackInOrder) {
  {
    MetricsLog log(path_);
    log.write({{"kind", "train"}, {"step", 10}, {"nlp", -0.1}});
    log.write({{"kind", "eval"}, {"step", 10}, {"nlp", -0.25}});
  }
  MetricsLog(path_).write({{"kind", "train"}, {"step", 20}});
  const MetricsLines metrics = read_metrics(path_);
  EXPECT_THAT(steps(), ElementsAre(10, 10, 20));
  EXPECT_EQ(metrics.lines[0]["nlp"].get<double>(), -0.1);
  EXPECT_EQ(metrics.lines[1]["kind"], "eval");
  EXPECT_FALSE(metrics.torn);
  EXPECT_EQ(metrics.damaged, 0);
  EXPECT_TRUE(read_file(path_).starts_with(R"({"kind":"train","step":10,"nlp":-0.1})"
                                           "\n"));
}

TEST_F(MetricsLogTest, ValuesThatJsonLacks) {
  MetricsLog log(path_);
  log.write({{"kind", "train"}, {"step", 1}, {"loss", std::numeric_limits<double>::quiet_NaN()}});
  log.write({{"kind", "event"},
             {"step", 1},
             {"event",
              "failed: \xFF"
              "bad\nname"}});
  const MetricsLines metrics = read_metrics(path_);
  ASSERT_EQ(metrics.lines.size(), 2u);
  EXPECT_TRUE(metrics.lines[0]["loss"].is_null());
  EXPECT_EQ(metrics.lines[1]["event"],
            "failed: \xEF\xBF\xBD"
            "bad\nname");
}

TEST_F(MetricsLogTest, ReadsWhatAKilledProcessLeft) {
  EXPECT_TRUE(read_metrics(path_).lines.empty());
  const std::string good = R"({"kind":"train","step":5})"
                           "\n";
  for (const std::string torn : {"{", R"({"kind":"train","step":6)", R"({"kind":"tra)"}) {
    write_file(path_, good + torn);
    EXPECT_THAT(steps(), ElementsAre(5)) << torn;
    EXPECT_TRUE(read_metrics(path_).torn) << torn;
  }
  // Damaged in the middle: a torn line that another process continued.
  write_file(path_, good +
                        "\n"
                        R"({"kind":"tra{"kind":"eval","step":6})"
                        "\n[1]\n{\"step\":1.5}\n" +
                        good);
  EXPECT_THAT(steps(), ElementsAre(5, 5));
  EXPECT_EQ(read_metrics(path_).damaged, 3);
  EXPECT_FALSE(read_metrics(path_).torn);
  write_file(path_, std::string(100000, '[') + "\n" + good);
  EXPECT_THAT(steps(), ElementsAre(5));
}

TEST_F(MetricsLogTest, ANewBeginningKeepsTheEventsOfEarlierTries) {
  {
    MetricsLog log(path_);
    log.write({{"kind", "event"}, {"step", 0}});
    log.write({{"kind", "eval"}, {"step", 0}});
    log.write({{"kind", "train"}, {"step", 5}});
  }
  cut_metrics(path_, -1);
  ASSERT_THAT(steps(), ElementsAre(0));
  EXPECT_EQ(read_metrics(path_).lines.front()["kind"], "event");
}

TEST_F(MetricsLogTest, ContinuingLeavesNoGapsOrDuplicates) {
  cut_metrics(path_, 10);
  EXPECT_FALSE(std::filesystem::exists(path_));
  {
    MetricsLog log(path_);
    for (const int step : {0, 5, 10, 15, 20}) log.write({{"kind", "train"}, {"step", step}});
  }
  write_file(path_, read_file(path_) + R"({"kind":"train","st)");
  cut_metrics(path_, 10);
  EXPECT_THAT(steps(), ElementsAre(0, 5, 10));
  EXPECT_FALSE(read_metrics(path_).torn);
  MetricsLog(path_).write({{"kind", "train"}, {"step", 15}});
  EXPECT_THAT(steps(), ElementsAre(0, 5, 10, 15));
}

TEST_F(MetricsLogTest, DirectoryInTheWay) {
  EXPECT_THROW(MetricsLog(testing::TempDir()), Error);
  EXPECT_THROW(read_metrics(testing::TempDir()), Error);
}

}  // namespace
}  // namespace switchyard
