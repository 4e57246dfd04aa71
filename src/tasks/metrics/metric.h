// Metrics by name: what a task wanted and what a model said -> numbers with names, mostly from 0 to
// 100 as T5 reports them. A metric is a function and a line in metrics().
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace switchyard {

/// What one example wants.
struct MetricTarget {
  std::vector<std::string> references;  // at least one; the first is the target of training
  std::string group;                    // examples that count together, e.g. of one question
  std::string context;                  // what some metrics need besides: see their help
};

struct MetricInput {
  std::span<const MetricTarget> targets;
  std::span<const std::string> predictions;  // as many
  /// Names of the classes in the order of their numbers; of two the second is the positive one.
  /// Empty where a task has no classes.
  std::span<const std::string> labels;
};

using Scores = std::vector<std::pair<std::string, double>>;

struct Metric {
  std::string name;
  std::string help;
  Scores (*compute)(const MetricInput& input);
};

/// All of them, by name.
const std::vector<Metric>& metrics();
/// Throws Error(kUsage) with the nearest name for one that is not known.
const Metric& find_metric(const std::string& name);

/// Throws Error(kUsage) where nothing is to be measured, numbers of targets and predictions differ,
/// a target has no reference, or the metric needs classes or a context that is not there. NaN where
/// a metric is not defined (a correlation with a constant).
Scores compute_metric(const Metric& metric, const MetricInput& input);

/// The metric of each group by itself.
std::map<std::string, Scores> scores_by_group(const Metric& metric, const MetricInput& input);
/// The mean of each number over groups, every group counting once.
Scores mean_over_groups(const Metric& metric, const MetricInput& input);

}  // namespace switchyard
