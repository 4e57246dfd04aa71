#include "report/finetuning_tables.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "base/format.h"

namespace switchyard {
namespace {

constexpr const char* kNone = "–";

std::string spread_text(const Spread& spread, int digits) {
  if (spread.count == 0 || std::isnan(spread.mean)) return kNone;
  std::string text = format("{:.{}f}", spread.mean, digits);
  if (spread.count > 1) text += format(" ± {:.{}f}", spread.deviation, digits);
  return text;
}

/// Names of all numbers of all tasks, "boolq accuracy", in the order in which they come up.
std::vector<std::string> all_numbers(const std::vector<RunData>& runs) {
  std::vector<std::string> names;
  for (const RunData& run : runs) {
    for (const auto& [name, value] : run.best_tasks) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

/// Whether `teacher`, as a recipe names it, is a run or a checkpoint in it.
bool lies_in(const std::string& teacher, const std::string& run) {
  std::error_code error;
  const auto inner = std::filesystem::weakly_canonical(teacher, error);
  const auto outer = std::filesystem::weakly_canonical(run, error);
  const auto [end, unused] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end();
}

const Group* group_of_teacher(const std::vector<RunData>& runs, const Comparison& comparison,
                              const std::string& teacher) {
  for (const Group& group : comparison.groups) {
    for (const size_t run : group.runs) {
      if (lies_in(teacher, runs[run].path)) return &group;
    }
  }
  return nullptr;
}

double final_nlp(const Comparison& comparison, const Group& group) {
  return spread_of(comparison, group, [](const RunNumbers& run) { return run.final_nlp; }).mean;
}

}  // namespace

Table task_table(const std::vector<RunData>& runs, const Comparison& comparison) {
  Table table;
  table.caption = "Best numbers of each task, over all evaluations of a run";
  table.columns = {"Run"};
  const std::vector<std::string> names = all_numbers(runs);
  if (names.empty()) return table;
  table.columns.insert(table.columns.end(), names.begin(), names.end());
  for (size_t g = 0; g < comparison.groups.size(); ++g) {
    const Group& group = comparison.groups[g];
    Table::Row row;
    row.baseline = g == comparison.baseline;
    row.cells = {group.runs.size() > 1 ? format("{} ({} seeds)", group.name, group.runs.size())
                                       : group.name};
    for (const std::string& name : names) {
      std::vector<double> values;
      for (const size_t run : group.runs) {
        const auto& best = runs[run].best_tasks;
        const auto found = best.find(name);
        if (found != best.end()) values.push_back(found->second);
      }
      row.cells.push_back(spread_text(spread_of(values), 2));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<KeptShare> kept_shares(const std::vector<RunData>& runs, const Comparison& comparison) {
  const Group& baseline = comparison.groups[comparison.baseline];
  const RunData& dense = runs[baseline.runs.front()];
  if (!dense.dense() || !dense.recipe.objective.teacher.empty()) return {};
  std::vector<KeptShare> shares;
  // Students of different seeds may have teachers of different seeds: recipes that differ in that
  // path are groups of their own, which is told by their names.
  for (const Group& group : comparison.groups) {
    const std::string& path = runs[group.runs.front()].recipe.objective.teacher;
    const Group* teacher = path.empty() ? nullptr : group_of_teacher(runs, comparison, path);
    if (!teacher) continue;
    KeptShare kept;
    kept.student = group.name;
    kept.teacher = teacher->name;
    kept.dense_nlp = final_nlp(comparison, baseline);
    kept.teacher_nlp = final_nlp(comparison, *teacher);
    kept.student_nlp = final_nlp(comparison, group);
    const double gain = kept.teacher_nlp - kept.dense_nlp;
    kept.share = gain > 0 ? (kept.student_nlp - kept.dense_nlp) / gain
                          : std::numeric_limits<double>::quiet_NaN();
    shares.push_back(kept);
  }
  return shares;
}

Table distillation_table(const std::vector<RunData>& runs, const Comparison& comparison) {
  Table table;
  table.caption =
      "What students keep of their teachers' gain over the baseline, by final held-out NLP";
  table.columns = {"Student", "Teacher", "Dense NLP", "Teacher's NLP", "Student's NLP", "Kept"};
  table.text_columns = 2;
  for (const KeptShare& kept : kept_shares(runs, comparison)) {
    Table::Row row;
    row.cells = {kept.student,
                 kept.teacher,
                 format("{:.4f}", kept.dense_nlp),
                 format("{:.4f}", kept.teacher_nlp),
                 format("{:.4f}", kept.student_nlp),
                 std::isnan(kept.share) ? kNone : format("{:.0f} %", 100 * kept.share)};
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace switchyard
