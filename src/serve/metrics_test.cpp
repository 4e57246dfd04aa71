#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace switchyard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Histogram, CountsUpToEachLimit) {
  Histogram histogram({1, 2.5});
  for (const double value : {0.5, 1.0, 1.5, 3.0}) histogram.add(value);
  std::string text;
  histogram.write("x", text);
  EXPECT_EQ(text,
            "x_bucket{le=\"1\"} 2\nx_bucket{le=\"2.5\"} 3\nx_bucket{le=\"+Inf\"} 4\nx_sum 6\n"
            "x_count 4\n");
}

TEST(Metrics, TextHasWhatWasCounted) {
  Metrics metrics;
  metrics.add_request("/v1/completions", 200, 0.2);
  metrics.add_request("/v1/completions", 429, 0.001);
  metrics.add_request("/healthz", 200, 0.001);
  metrics.add_step(3, 2, 0.01);
  metrics.add_step(1, 1, 0.01);
  metrics.set_queue(3, 7);
  metrics.add_input_tokens(12);
  metrics.add_cancelled("timeout");
  metrics.add_first_token(0.1);
  metrics.set_expert_use({{"encoder.1", {4, 0}}, {"decoder.1", {1, 2}}});
  const std::string text = metrics.text();
  EXPECT_THAT(text,
              HasSubstr("switchyard_requests_total{path=\"/v1/completions\",status=\"429\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_requests_total{path=\"/healthz\",status=\"200\"} 1\n"));
  // Only work that was done has a latency.
  EXPECT_THAT(text, HasSubstr("switchyard_request_seconds_count 1\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_output_tokens_total 3\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_input_tokens_total 12\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_batch_rows_sum 4\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_running 3\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_queue_depth 7\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_cancelled_total{reason=\"timeout\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("switchyard_expert_tokens_total{layer=\"decoder.1\",expert=\"1\"} 2\n"));
}

TEST(Metrics, EachMetricHasOneHeadBeforeItsValues) {
  Metrics metrics;
  metrics.add_request("/", 200, 0.001);
  std::istringstream lines(metrics.text());
  std::set<std::string> seen;
  std::string name, line;
  while (std::getline(lines, line)) {
    if (line.starts_with("# HELP ")) {
      name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(seen.insert(name).second) << name;
    } else if (line.starts_with("# TYPE ")) {
      EXPECT_THAT(line, HasSubstr("# TYPE " + name + " "));
    } else {
      EXPECT_TRUE(line.starts_with(name)) << line;
    }
  }
  EXPECT_GT(seen.size(), 10u);
}

}  // namespace
}  // namespace switchyard
