#include "report/languages.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

namespace switchyard {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

const SourceCurve* find_source(const RunData& run, const std::string& name) {
  const auto found = std::find_if(run.sources.begin(), run.sources.end(),
                                  [&](const SourceCurve& curve) { return curve.name == name; });
  return found == run.sources.end() ? nullptr : &*found;
}

double last_nlp(const SourceCurve& curve) {
  double last = kNaN;
  for (const EvalPoint& point : curve.evaluations) {
    if (std::isfinite(point.nlp)) last = point.nlp;
  }
  return last;
}

/// The language's curve of each run of a group; fewer than there are runs if one has none.
std::vector<const SourceCurve*> curves_of(const std::vector<RunData>& runs, const Group& group,
                                          const std::string& name) {
  std::vector<const SourceCurve*> curves;
  for (const size_t run : group.runs) {
    if (const SourceCurve* curve = find_source(runs[run], name)) curves.push_back(curve);
  }
  return curves;
}

template <class Get>
double mean_of(const std::vector<const SourceCurve*>& curves, Get get) {
  std::vector<double> values;
  for (const SourceCurve* curve : curves) values.push_back(get(*curve));
  return spread_of(values).mean;
}

LanguageNumbers numbers_of(const std::string& name, const std::vector<const SourceCurve*>& base,
                           const std::vector<const SourceCurve*>& own) {
  LanguageNumbers numbers;
  numbers.name = name;
  numbers.baseline_nlp = mean_of(base, last_nlp);
  numbers.nlp = mean_of(own, last_nlp);
  numbers.gain = numbers.nlp - numbers.baseline_nlp;
  // As for whole runs: the mean of the baseline's best, and of where its runs reach their own.
  const auto best = [](const SourceCurve& curve) { return best_nlp(curve.evaluations); };
  const double level = mean_of(base, best);
  Crossing cost;
  cost.reached = true;
  cost.cost.steps = mean_of(base, [&](const SourceCurve& curve) {
    return first_reach(curve.evaluations, best(curve)).cost.steps;
  });
  std::vector<double> speed_ups;
  for (const SourceCurve* curve : own) {
    const Crossing reach = first_reach(curve->evaluations, level);
    numbers.reached += reach.reached ? 1 : 0;
    numbers.at_first |= reach.at_first;
    speed_ups.push_back(speed_up(cost, reach).steps);
  }
  numbers.seeds = static_cast<int>(own.size());
  numbers.speed_up = spread_of(speed_ups).mean;
  return numbers;
}

LanguageComparison compare_group(const std::vector<RunData>& runs, const Group& baseline,
                                 const Group& group) {
  LanguageComparison comparison{group.name, baseline.name, {}, 0, 0, 0, kNaN};
  for (const SourceCurve& source : runs[baseline.runs.front()].sources) {
    const auto base = curves_of(runs, baseline, source.name);
    const auto own = curves_of(runs, group, source.name);
    if (base.size() < baseline.runs.size() || own.size() < group.runs.size()) continue;
    const LanguageNumbers numbers = numbers_of(source.name, base, own);
    if (std::isfinite(numbers.gain)) comparison.languages.push_back(numbers);
  }
  std::stable_sort(comparison.languages.begin(), comparison.languages.end(),
                   [](const auto& a, const auto& b) { return a.gain > b.gain; });
  std::vector<double> speed_ups;
  for (const LanguageNumbers& language : comparison.languages) {
    comparison.gained += language.gain > 0 ? 1 : 0;
    comparison.reached += language.reached == language.seeds ? 1 : 0;
    comparison.reached_by_some += language.reached > 0 ? 1 : 0;
    speed_ups.push_back(language.speed_up);
  }
  comparison.mean_speed_up = spread_of(speed_ups).mean;
  return comparison;
}

}  // namespace

std::vector<LanguageComparison> compare_languages(const std::vector<RunData>& runs,
                                                  const Comparison& comparison) {
  std::vector<LanguageComparison> comparisons;
  const Group& baseline = comparison.groups[comparison.baseline];
  for (size_t g = 0; g < comparison.groups.size(); ++g) {
    if (g == comparison.baseline) continue;
    LanguageComparison compared = compare_group(runs, baseline, comparison.groups[g]);
    if (!compared.languages.empty()) comparisons.push_back(std::move(compared));
  }
  return comparisons;
}

nlohmann::ordered_json languages_json(const std::vector<LanguageComparison>& comparisons) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const LanguageComparison& comparison : comparisons) {
    nlohmann::ordered_json languages = nlohmann::ordered_json::array();
    for (const LanguageNumbers& language : comparison.languages) {
      languages.push_back({{"name", language.name},
                           {"baseline_nlp", language.baseline_nlp},
                           {"nlp", language.nlp},
                           {"gain", language.gain},
                           {"speed_up_steps", language.speed_up},
                           {"at_first_evaluation", language.at_first},
                           {"seeds_that_reach", language.reached},
                           {"seeds", language.seeds}});
    }
    all.push_back({{"group", comparison.group},
                   {"baseline", comparison.baseline},
                   {"gained", comparison.gained},
                   {"reached", comparison.reached},
                   {"reached_by_some_seed", comparison.reached_by_some},
                   {"mean_speed_up_steps", comparison.mean_speed_up},
                   {"languages", languages}});
  }
  return all;
}

Histogram histogram_of(const std::vector<double>& values, int bins) {
  std::vector<double> finite;
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  if (finite.empty()) return {};
  const auto [least, greatest] = std::minmax_element(finite.begin(), finite.end());
  // Round borders: the smallest of 1, 2 and 5 times a power of ten that needs no more bins.
  const double rough = std::max((*greatest - *least) / bins, 1e-3);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double width = 10 * power;
  for (const double nice : {5.0, 2.0, 1.0}) {
    if (nice * power >= rough * (1 - 1e-9)) width = nice * power;
  }
  Histogram histogram{width * std::floor(*least / width + 1e-9), width, {}};
  for (const double value : finite) {
    const auto bin =
        static_cast<size_t>(std::max(0.0, std::floor((value - histogram.low) / width + 1e-9)));
    if (bin >= histogram.counts.size()) histogram.counts.resize(bin + 1, 0);
    ++histogram.counts[bin];
  }
  return histogram;
}

}  // namespace switchyard
