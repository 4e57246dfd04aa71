#include "report/comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Keys in which runs of one group may differ: the seed, and what changes no result.
constexpr std::array<std::string_view, 7> kGroupFreeKeys = {
    "train.seed",        "train.log_every",   "train.checkpoint_every", "train.keep_checkpoints",
    "train.max_minutes", "train.tensorboard", "data.loader_threads"};

// Keys that decide what an evaluation measures.
constexpr std::array<std::string_view, 6> kEvaluationKeys = {
    "objective.kind",     "data.validation",       "data.input_length",
    "data.noise_density", "data.mean_span_length", "train.evaluate_sequences"};

std::string group_key(const RunData& run) {
  Recipe recipe = run.recipe;
  FieldList fields;
  recipe.list_fields(fields);
  std::string key;
  for (const Field& field : fields.fields()) {
    const bool is_free =
        std::find(kGroupFreeKeys.begin(), kGroupFreeKeys.end(), field.key) != kGroupFreeKeys.end();
    if (!is_free) key += field.to_toml() + "\n";
  }
  return key;
}

std::string setting(const RunData& run, std::string_view key) {
  // A student is evaluated as a run without a teacher is.
  if (key == "objective.kind" && run.recipe.objective.kind == "distill") {
    return run.recipe.data.train.empty() ? "\"seq2seq\"" : "\"span_corruption\"";
  }
  Recipe recipe = run.recipe;
  FieldList fields;
  recipe.list_fields(fields);
  return fields.find(std::string(key))->to_toml();
}

// "moe8-seed1" and "moe8-seed2" -> "moe8".
std::string group_name(const std::vector<RunData>& runs, const std::vector<size_t>& members) {
  std::string name = runs[members.front()].name;
  if (members.size() == 1) return name;
  for (const size_t member : members) {
    const std::string& other = runs[member].name;
    const auto [end, unused] = std::mismatch(name.begin(), name.end(), other.begin(), other.end());
    name.erase(end, name.end());
  }
  const auto trim = [&](std::string_view characters) {
    const size_t last = name.find_last_not_of(characters);
    name.erase(last == std::string::npos ? 0 : last + 1);
  };
  trim("-_./ ");
  for (const std::string_view word : {"-seed", "_seed", ".seed", "-s", "_s", ".s"}) {
    if (name.ends_with(word)) name.erase(name.size() - word.size());
  }
  trim("-_./ ");
  return name.empty() ? runs[members.front()].name : name;
}

size_t find_baseline(const std::vector<RunData>& runs, const std::vector<Group>& groups,
                     const std::string& baseline) {
  const auto group_where = [&](const std::function<bool(const RunData&)>& fits) {
    for (size_t g = 0; g < groups.size(); ++g) {
      for (const size_t run : groups[g].runs) {
        if (fits(runs[run])) return g;
      }
    }
    return groups.size();
  };
  if (baseline.empty()) {
    const size_t dense = group_where([](const RunData& run) { return run.dense(); });
    return dense < groups.size() ? dense : 0;
  }
  const size_t named =
      group_where([&](const RunData& run) { return run.name == baseline || run.path == baseline; });
  if (named < groups.size()) return named;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].name == baseline) return g;
  }
  std::vector<std::string> names;
  names.reserve(runs.size());
  for (const RunData& run : runs) names.push_back(run.name);
  throw usage_error(format("no run is named '{}'", baseline), "--baseline",
                    format("name one of: {}", fmt::join(names, ", ")));
}

// Mean of a column over the rows, each weighed by how far `by` rises to it.
double mean_by(const TrainColumns& train, std::string_view key, std::string_view by) {
  const std::vector<double>&values = train[key], &at = train[by];
  double sum = 0, weight = 0, before = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double rise = at[i] - before;
    if (!std::isfinite(rise)) continue;
    before = at[i];
    if (!std::isfinite(values[i]) || rise <= 0) continue;
    sum += values[i] * rise;
    weight += rise;
  }
  return weight > 0 ? sum / weight : kNaN;
}

// Seconds per step and tokens per second from the last point that has all of them.
void add_speed(const RunData& run, RunNumbers& numbers) {
  Cost last{0, 0, 0};
  const auto look = [&](double steps, double tokens, double seconds) {
    if (steps >= last.steps && seconds > 0 && tokens > 0) last = {steps, tokens, seconds};
  };
  for (size_t i = 0; i < run.train.rows(); ++i) {
    look(run.train["step"][i], run.train["tokens"][i], run.train["seconds"][i]);
  }
  for (const EvalPoint& point : run.evaluations) look(point.step, point.tokens, point.seconds);
  const bool known = last.steps > 0;
  numbers.seconds_per_step = known ? last.seconds / last.steps : kNaN;
  numbers.tokens_per_second = known ? last.tokens / last.seconds : kNaN;
}

RunNumbers numbers_of(const RunData& run) {
  RunNumbers numbers;
  numbers.final_nlp = numbers.final_step = numbers.difference = numbers.time_ratio = kNaN;
  for (const EvalPoint& point : run.evaluations) {
    if (!std::isfinite(point.nlp)) continue;
    numbers.final_nlp = point.nlp;
    numbers.final_step = point.step;
  }
  numbers.best_nlp = best_nlp(run.evaluations);
  numbers.gemm_share = mean_by(run.train, "gemm_share", "seconds");
  numbers.dropped_share = run.dense() ? kNaN : mean_by(run.train, "dropped_share", "tokens");
  add_speed(run, numbers);
  return numbers;
}

Crossing mean_of(const std::vector<Crossing>& crossings) {
  Crossing mean;
  std::vector<double> steps, tokens, seconds;
  for (const Crossing& crossing : crossings) {
    if (!crossing.reached) continue;
    mean.reached = true;
    mean.at_first |= crossing.at_first;
    steps.push_back(crossing.cost.steps);
    tokens.push_back(crossing.cost.tokens);
    seconds.push_back(crossing.cost.seconds);
  }
  mean.cost = {spread_of(steps).mean, spread_of(tokens).mean, spread_of(seconds).mean};
  return mean;
}

void compare_to_baseline(const std::vector<RunData>& runs, Comparison& comparison) {
  const Group& baseline = comparison.groups[comparison.baseline];
  const auto mean = [&](double RunNumbers::*number) {
    return spread_of(comparison, baseline, [=](const RunNumbers& run) { return run.*number; }).mean;
  };
  comparison.level = mean(&RunNumbers::best_nlp);
  std::vector<Crossing> own;
  for (const size_t run : baseline.runs) {
    own.push_back(first_reach(runs[run].evaluations, comparison.runs[run].best_nlp));
  }
  comparison.baseline_cost = mean_of(own);
  const double final_nlp = mean(&RunNumbers::final_nlp);
  const double seconds_per_step = mean(&RunNumbers::seconds_per_step);
  for (size_t i = 0; i < runs.size(); ++i) {
    RunNumbers& numbers = comparison.runs[i];
    numbers.difference = numbers.final_nlp - final_nlp;
    numbers.time_ratio = numbers.seconds_per_step / seconds_per_step;
    numbers.reach = first_reach(runs[i].evaluations, comparison.level);
    numbers.speed_up = speed_up(comparison.baseline_cost, numbers.reach);
  }
}

// "`key` differs: a in one, b in another", if the runs do not all have the same value.
template <class Get>
bool differ(const std::vector<RunData>& runs, Get get, std::string& values) {
  std::set<std::string> seen;
  for (const RunData& run : runs) {
    const std::string value = get(run);
    if (!value.empty()) seen.insert(value);
  }
  values = format("{}", fmt::join(seen, " / "));
  return seen.size() > 1;
}

void warn_of_evaluations(const std::vector<RunData>& runs, std::vector<std::string>& warnings) {
  std::string values;
  std::vector<std::string> keys;
  for (const std::string_view key : kEvaluationKeys) {
    if (differ(
            runs, [&](const RunData& run) { return setting(run, key); }, values)) {
      keys.push_back(format("{} ({})", key, values));
    }
  }
  const auto targets = [](const RunData& run) {
    return run.evaluations.empty() || std::isnan(run.evaluations.back().targets)
               ? std::string()
               : format("{}", run.evaluations.back().targets);
  };
  if (keys.empty() && differ(runs, targets, values)) {
    keys.push_back(format("target tokens of an evaluation ({})", values));
  }
  if (!keys.empty()) {
    warnings.push_back(
        format("The runs are evaluated on different data, so their NLP cannot be "
               "compared: {}.",
               fmt::join(keys, ", ")));
  }
  if (differ(
          runs, [](const RunData& run) { return run.tokenizer; }, values)) {
    warnings.push_back(
        format("The runs use different tokenizers, so their NLP per target cannot be "
               "compared: {}.",
               values));
  }
}

void warn_of_training(const std::vector<RunData>& runs, std::vector<std::string>& warnings) {
  std::string values;
  if (differ(
          runs, [](const RunData& run) { return setting(run, "data.train"); }, values)) {
    warnings.push_back(format("The runs are trained on different data: {}.", values));
  }
  if (differ(
          runs, [](const RunData& run) { return run.machine; }, values)) {
    warnings.push_back(format("Times come from different machines or thread counts: {}.", values));
  }
}

void warn_of_lengths(const std::vector<RunData>& runs, Comparison& comparison) {
  std::set<double> steps;
  for (const RunNumbers& run : comparison.runs) {
    if (std::isfinite(run.final_step)) steps.insert(run.final_step);
  }
  if (steps.size() > 1) {
    comparison.warnings.push_back(
        format("The last evaluations were made at different steps ({}): final NLP and differences "
               "compare unequal training.",
               fmt::join(steps, " / ")));
  }
  for (const RunData& run : runs) {
    for (const std::string& warning : run.warnings) {
      comparison.warnings.push_back(format("{}: {}.", run.name, warning));
    }
    if (run.last_event.starts_with("failed")) {
      comparison.warnings.push_back(format("{}: the run {}.", run.name, run.last_event));
    }
  }
}

}  // namespace

Spread spread_of(const std::vector<double>& values) {
  Spread spread{0, kNaN, kNaN, kNaN, kNaN};
  std::vector<double> finite;
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  if (finite.empty()) return spread;
  const auto count = static_cast<double>(finite.size());
  double sum = 0, squares = 0;
  for (const double value : finite) sum += value;
  spread.count = static_cast<int>(finite.size());
  spread.mean = sum / count;
  for (const double value : finite) squares += (value - spread.mean) * (value - spread.mean);
  spread.deviation = finite.size() > 1 ? std::sqrt(squares / (count - 1)) : 0.0;
  spread.low = *std::min_element(finite.begin(), finite.end());
  spread.high = *std::max_element(finite.begin(), finite.end());
  return spread;
}

std::vector<Group> group_runs(const std::vector<RunData>& runs) {
  std::vector<Group> groups;
  std::vector<std::string> keys;  // of the groups
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string key = group_key(runs[i]);
    const auto same_seed = [&](size_t other) {
      return runs[other].recipe.train.seed == runs[i].recipe.train.seed;
    };
    size_t g = 0;
    while (g < groups.size() &&
           (keys[g] != key || std::ranges::any_of(groups[g].runs, same_seed))) {
      ++g;
    }
    if (g == groups.size()) {
      keys.push_back(key);
      groups.emplace_back();
    }
    groups[g].runs.push_back(i);
  }
  for (Group& group : groups) group.name = group_name(runs, group.runs);
  return groups;
}

Comparison compare(const std::vector<RunData>& runs, const std::string& baseline) {
  Comparison comparison;
  comparison.groups = group_runs(runs);
  comparison.baseline = find_baseline(runs, comparison.groups, baseline);
  for (const RunData& run : runs) comparison.runs.push_back(numbers_of(run));
  compare_to_baseline(runs, comparison);
  warn_of_evaluations(runs, comparison.warnings);
  warn_of_training(runs, comparison.warnings);
  warn_of_lengths(runs, comparison);
  return comparison;
}

}  // namespace switchyard
