// The numbers of a report: each run, groups of runs that differ in their seed alone, the baseline,
// and what makes runs hard to compare. Every table and plot is drawn from this.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "report/run_data.h"
#include "report/speed_up.h"

namespace switchyard {

/// Mean and spread of a number over the runs of a group; runs without it are left out.
struct Spread {
  int count = 0;
  double mean = 0, deviation = 0;  // NaN if count is 0; sample standard deviation, 0 for one run
  double low = 0, high = 0;
};
Spread spread_of(const std::vector<double>& values);

/// Runs with the same recipe but for the seed (and for what changes no result: how often it reports
/// and saves, threads of the loader).
struct Group {
  std::string name;
  std::vector<size_t> runs;  // in the order given
};
std::vector<Group> group_runs(const std::vector<RunData>& runs);

/// NaN: not known.
struct RunNumbers {
  double final_nlp = 0;   // of the last evaluation
  double final_step = 0;  // of that evaluation
  double best_nlp = 0;
  double difference = 0;                        // final NLP minus the baseline's
  double seconds_per_step = 0, time_ratio = 0;  // over the whole run; to the baseline's
  double tokens_per_second = 0;                 // over the whole run
  double gemm_share = 0;                        // mean over time
  double dropped_share = 0;                     // mean over tokens; NaN for a dense run
  Crossing reach;                               // of the baseline's best NLP
  Cost speed_up;
};

struct Comparison {
  std::vector<RunNumbers> runs;  // as the runs given
  std::vector<Group> groups;
  size_t baseline = 0;     // index of its group
  double level = 0;        // best NLP of the baseline (mean over its runs); NaN: no evaluation
  Crossing baseline_cost;  // mean cost at which its runs reach their own best
  std::vector<std::string> warnings;  // one sentence each
};

/// `baseline`: name or path of a run, or the name of a group; "": the first dense run, else the
/// first. Throws Error(kUsage) if there is no such run.
Comparison compare(const std::vector<RunData>& runs, const std::string& baseline = {});

/// A number of each run of a group, as in `comparison.runs`.
template <class Get>
Spread spread_of(const Comparison& comparison, const Group& group, Get get) {
  std::vector<double> values;
  for (const size_t run : group.runs) values.push_back(get(comparison.runs[run]));
  return spread_of(values);
}

}  // namespace switchyard
