// Languages, or other sources of held-out data that runs were evaluated on one by one: what each
// gains over the baseline, and how much earlier it is as good (paper, figures 7 and 8).
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "report/comparison.h"

namespace switchyard {

/// Means over the seeds of a group. NaN: not known.
struct LanguageNumbers {
  std::string name;
  double baseline_nlp = 0, nlp = 0;  // of the last evaluation
  double gain = 0;                   // nlp - baseline_nlp
  double speed_up = 0;               // in steps, to the baseline's best; of the seeds that reach it
  bool at_first = false;             // by some seed's first evaluation: at least `speed_up`
  int reached = 0, seeds = 0;
};

struct LanguageComparison {
  std::string group, baseline;
  std::vector<LanguageNumbers> languages;  // largest gain first
  int gained = 0;                          // languages with a gain above 0
  int reached = 0;                         // languages all of whose seeds reach the level
  int reached_by_some = 0;                 // some of whose seeds do
  double mean_speed_up = 0;                // over these, of the seeds that do
};

/// One for each group but the baseline; of the languages that all runs of both were evaluated on.
/// Empty where there are none.
std::vector<LanguageComparison> compare_languages(const std::vector<RunData>& runs,
                                                  const Comparison& comparison);

nlohmann::ordered_json languages_json(const std::vector<LanguageComparison>& comparisons);

/// Counts of values in bins of equal width `width`, the first at `low`; NaN values are left out.
struct Histogram {
  double low = 0, width = 0;
  std::vector<int> counts;
};
Histogram histogram_of(const std::vector<double>& values, int bins);

/// The sections of the page: a sentence, both plots and a table for each group; "" if there are no
/// languages.
std::string languages_html(const std::vector<LanguageComparison>& comparisons);

}  // namespace switchyard
