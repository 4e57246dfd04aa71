#include "report/page_data.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "report/finetuning_tables.h"
#include "report/languages.h"
#include "report/thinning.h"

namespace switchyard {
namespace {

using nlohmann::ordered_json;

constexpr size_t kPageRows = 24'000;     // of metrics in the page, all runs together: about 2 MB
constexpr double kExactIntegers = 9e15;  // of a double
constexpr size_t kMaxRunRows = 2'000, kMinRunRows = 200;

// Six significant digits: enough for any plot, half the size.
double rounded(double value) {
  if (!std::isfinite(value)) return std::numeric_limits<double>::quiet_NaN();
  return std::stod(format("{:.6g}", value));
}

ordered_json picked(const std::vector<double>& column, const std::vector<size_t>& rows,
                    bool exact = false) {
  ordered_json values = ordered_json::array();
  for (const size_t row : rows) {
    const double value = column[row];
    if (exact && std::abs(value) < kExactIntegers) {
      values.push_back(static_cast<int64_t>(value));
    } else if (std::isfinite(value)) {
      values.push_back(rounded(value));
    } else {
      values.push_back(nullptr);
    }
  }
  return values;
}

ordered_json train_data(const TrainColumns& train, size_t max_rows) {
  std::vector<const std::vector<double>*> shown;
  for (const std::string_view key : TrainColumns::kKeys) {
    if (key != "step" && key != "tokens" && key != "seconds") shown.push_back(&train[key]);
  }
  const std::vector<size_t> rows = thin_rows(train.rows(), shown, max_rows);
  ordered_json data;
  for (const std::string_view key : TrainColumns::kKeys) {
    data[std::string(key)] = picked(train[key], rows, key == "step" || key == "tokens");
  }
  return data;
}

ordered_json curve_data(const std::vector<EvalPoint>& points, size_t max_rows) {
  std::vector<double> step, tokens, seconds, nlp, accuracy;
  for (const EvalPoint& point : points) {
    step.push_back(point.step);
    tokens.push_back(point.tokens);
    seconds.push_back(point.seconds);
    nlp.push_back(point.nlp);
    accuracy.push_back(point.accuracy);
  }
  const std::vector<size_t> rows = thin_rows(points.size(), {&nlp, &accuracy}, max_rows);
  return {{"step", picked(step, rows, true)},
          {"tokens", picked(tokens, rows, true)},
          {"seconds", picked(seconds, rows)},
          {"nlp", picked(nlp, rows)},
          {"accuracy", picked(accuracy, rows)}};
}

ordered_json layer_data(const std::vector<LayerLoad>& layers) {
  ordered_json data = ordered_json::array();
  for (const LayerLoad& layer : layers) {
    std::string load;
    for (const auto& shares : layer.load) load += encode_shares(shares);
    data.push_back({{"layer", layer.layer},
                    {"experts", layer.experts},
                    {"step", layer.steps},
                    {"load", load}});
  }
  return data;
}

ordered_json cost_json(const Cost& cost) {
  return {{"steps", cost.steps}, {"tokens", cost.tokens}, {"seconds", cost.seconds}};
}

ordered_json crossing_json(const Crossing& crossing) {
  ordered_json data = {{"reached", crossing.reached}, {"at_first_evaluation", crossing.at_first}};
  if (crossing.reached) data.update(cost_json(crossing.cost));
  return data;
}

ordered_json spread_json(const Spread& spread) {
  return {{"runs", spread.count},
          {"mean", spread.mean},
          {"deviation", spread.deviation},
          {"min", spread.low},
          {"max", spread.high}};
}

ordered_json numbers_json(const RunData& run, const RunNumbers& numbers) {
  return {{"name", run.name},
          {"path", run.path},
          {"seed", run.recipe.train.seed},
          {"parameters", run.parameters},
          {"forward_flops_per_sequence", run.forward_flops},
          {"experts", run.recipe.model.moe.num_experts},
          {"state", run.last_event},
          {"final_nlp", numbers.final_nlp},
          {"final_step", numbers.final_step},
          {"best_nlp", numbers.best_nlp},
          {"difference", numbers.difference},
          {"seconds_per_step", numbers.seconds_per_step},
          {"time_ratio", numbers.time_ratio},
          {"tokens_per_second", numbers.tokens_per_second},
          {"gemm_share", numbers.gemm_share},
          {"dropped_share", numbers.dropped_share},
          {"reach", crossing_json(numbers.reach)},
          {"speed_up", cost_json(numbers.speed_up)}};
}

}  // namespace

std::string encode_shares(const std::vector<double>& shares) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  text.reserve(2 * shares.size());
  for (const double share : shares) {
    const double sound = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
    const auto level = static_cast<unsigned>(std::lround(4095 * std::sqrt(sound)));
    text += kDigits[level >> 6];
    text += kDigits[level & 63];
  }
  return text;
}

std::vector<EvalPoint> mean_curve(const std::vector<RunData>& runs, const Group& group) {
  std::vector<EvalPoint> mean;
  const auto count = static_cast<double>(group.runs.size());
  for (const EvalPoint& first : runs[group.runs.front()].evaluations) {
    EvalPoint sum;
    bool in_all = true;
    for (const size_t run : group.runs) {
      const auto& points = runs[run].evaluations;
      const auto found = std::find_if(points.begin(), points.end(), [&](const EvalPoint& point) {
        return point.step == first.step;
      });
      in_all = in_all && found != points.end();
      if (!in_all) break;
      sum.tokens += found->tokens / count;
      sum.seconds += found->seconds / count;
      sum.nlp += found->nlp / count;
      sum.accuracy += found->accuracy / count;
    }
    sum.step = first.step;
    if (in_all && std::isfinite(sum.nlp)) mean.push_back(sum);
  }
  return mean;
}

ordered_json page_data(const std::vector<RunData>& runs, const Comparison& comparison) {
  const size_t max_rows = std::clamp(kPageRows / runs.size(), kMinRunRows, kMaxRunRows);
  ordered_json data = {{"level", rounded(comparison.level)},
                       {"baseline", comparison.baseline},
                       {"groups", ordered_json::array()},
                       {"runs", ordered_json::array()}};
  for (const Group& group : comparison.groups) {
    ordered_json entry = {{"name", group.name}, {"runs", group.runs}};
    if (group.runs.size() > 1) entry["mean"] = curve_data(mean_curve(runs, group), max_rows);
    data["groups"].push_back(entry);
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    data["runs"].push_back({{"name", runs[i].name},
                            {"experts", runs[i].recipe.model.moe.num_experts},
                            {"reach", crossing_json(comparison.runs[i].reach)},
                            {"eval", curve_data(runs[i].evaluations, max_rows)},
                            {"train", train_data(runs[i].train, max_rows)},
                            {"layers", layer_data(runs[i].layers)}});
  }
  return data;
}

ordered_json results_json(const std::vector<RunData>& runs, const Comparison& comparison) {
  const Group& baseline = comparison.groups[comparison.baseline];
  ordered_json results = {{"baseline", baseline.name},
                          {"level", comparison.level},
                          {"baseline_cost", crossing_json(comparison.baseline_cost)},
                          {"runs", ordered_json::array()},
                          {"groups", ordered_json::array()},
                          {"warnings", comparison.warnings},
                          {"distillation", ordered_json::array()}};
  for (const KeptShare& kept : kept_shares(runs, comparison)) {
    results["distillation"].push_back({{"student", kept.student},
                                       {"teacher", kept.teacher},
                                       {"dense_nlp", kept.dense_nlp},
                                       {"teacher_nlp", kept.teacher_nlp},
                                       {"student_nlp", kept.student_nlp},
                                       {"kept_share", kept.share}});
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    results["runs"].push_back(numbers_json(runs[i], comparison.runs[i]));
  }
  for (const Group& group : comparison.groups) {
    ordered_json names = ordered_json::array();
    for (const size_t run : group.runs) names.push_back(runs[run].name);
    const auto spread = [&](auto get) { return spread_json(spread_of(comparison, group, get)); };
    results["groups"].push_back(
        {{"name", group.name},
         {"runs", names},
         {"final_nlp", spread([](const RunNumbers& run) { return run.final_nlp; })},
         {"difference", spread([](const RunNumbers& run) { return run.difference; })},
         {"seconds_per_step", spread([](const RunNumbers& run) { return run.seconds_per_step; })},
         {"tokens_per_second", spread([](const RunNumbers& run) { return run.tokens_per_second; })},
         {"speed_up_steps", spread([](const RunNumbers& run) { return run.speed_up.steps; })},
         {"speed_up_tokens", spread([](const RunNumbers& run) { return run.speed_up.tokens; })},
         {"speed_up_seconds", spread([](const RunNumbers& run) { return run.speed_up.seconds; })}});
  }
  results["languages"] = languages_json(compare_languages(runs, comparison));
  return results;
}

}  // namespace switchyard
