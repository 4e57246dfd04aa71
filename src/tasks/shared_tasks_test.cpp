// Real rows, where ../shared/data lies beside the repository.
#include <gtest/gtest.h>

#include <filesystem>

#include "tasks/example_reader.h"

namespace switchyard {
namespace {

constexpr const char* kFolder = SWITCHYARD_SOURCE_DIR "/../shared/data/tasks/";

class SharedTasks : public ::testing::TestWithParam<const char*> {};

/// Every row becomes an example, and the references themselves are measured as right.
TEST_P(SharedTasks, AllRowsAreRead) {
  const std::string name = GetParam();
  const bool translates = name.starts_with("translate");
  const std::string path =
      kFolder + (translates ? std::string("translation_pud") : name) + "/validation.jsonl.zst";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const Task task = load_task(name);
  std::vector<MetricTarget> targets;
  std::vector<std::string> predictions;
  const auto keep = [&](const Example& example) {
    EXPECT_FALSE(example.input.empty());
    targets.push_back(example.wanted);
    predictions.push_back(example.wanted.references.front());
    return targets.size() < 200;
  };
  EXPECT_EQ(read_examples(task, path, ExampleUse::kEvaluation, keep).damaged, 0u);
  ASSERT_GT(targets.size(), 30u);
  for (const std::string& metric : task.metric_names()) {
    for (const auto& [score, value] :
         compute_metric(find_metric(metric), {targets, predictions, task.labels()})) {
      // Words without letters or of articles alone have neither ROUGE nor F1.
      EXPECT_GT(value, 98) << metric << " " << score;
      EXPECT_LE(value, 100 + 1e-9) << metric << " " << score;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, SharedTasks,
                         ::testing::Values("arc_challenge", "arc_easy", "banking77", "boolq",
                                           "gsm8k", "scitldr", "squad", "translate_en_de",
                                           "translate_en_zh", "winogrande", "xquad"),
                         [](const auto& parameter) { return std::string(parameter.param); });

}  // namespace
}  // namespace switchyard
