// Against numbers of rouge-score, sacrebleu and scikit-learn, stored by
// tools/make_metrics_golden.py.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "tasks/metrics/metric.h"

namespace switchyard {
namespace {

TEST(MetricsGolden, AsThePythonPackages) {
  const std::string path = SWITCHYARD_SOURCE_DIR "/tests/golden/metrics.json";
  const nlohmann::json cases = parse_json(read_file(path), path);
  ASSERT_GE(cases.size(), 8u);
  for (const auto& one : cases) {
    std::vector<MetricTarget> targets;
    for (const auto& references : one.at("references")) {
      targets.push_back({references.get<std::vector<std::string>>(), "", ""});
    }
    const auto predictions = one.at("predictions").get<std::vector<std::string>>();
    const auto labels = one.at("labels").get<std::vector<std::string>>();
    for (const auto& [metric, expected] : one.at("scores").items()) {
      const Scores scores = compute_metric(find_metric(metric), {targets, predictions, labels});
      for (const auto& [name, value] : scores) {
        SCOPED_TRACE(one.at("name").get<std::string>() + " " + metric + " " + name);
        ASSERT_TRUE(expected.contains(name));
        EXPECT_NEAR(value, expected.at(name).get<double>(), 1e-9);
      }
    }
  }
}

}  // namespace
}  // namespace switchyard
