// Tables of what tasks and teachers add to a comparison of runs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/comparison.h"
#include "report/table.h"

namespace switchyard {

/// The best numbers of each task that a run was evaluated on, over all its evaluations; no rows if
/// no run was. Means and spread over the runs of a group.
Table task_table(const std::vector<RunData>& runs, const Comparison& comparison);

/// How much of what a teacher gained over a dense model its student kept (paper Table 6).
struct KeptShare {
  std::string student, teacher;                            // names of groups
  double dense_nlp = 0, teacher_nlp = 0, student_nlp = 0;  // of the last evaluations, means
  double share = 0;  // (student - dense) / (teacher - dense); NaN where the teacher gained nothing
};
/// Of each group of students whose teacher is among the runs, if the baseline is a dense group.
std::vector<KeptShare> kept_shares(const std::vector<RunData>& runs, const Comparison& comparison);
/// The same as a table; no rows if there is none.
Table distillation_table(const std::vector<RunData>& runs, const Comparison& comparison);

}  // namespace switchyard
