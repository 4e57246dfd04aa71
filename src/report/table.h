// The tables of a report, once: as aligned text for a terminal and as HTML.
#pragma once

#include <string>
#include <vector>

#include "report/comparison.h"

namespace switchyard {

struct Table {
  struct Row {
    std::vector<std::string> cells;  // as many as there are columns; the first is the row's name
    bool baseline = false;
    bool member = false;  // of the group in the row above
  };

  std::string caption;
  std::vector<std::string> columns;
  std::vector<Row> rows;
  size_t text_columns = 1;  // the first ones are aligned to the left

  std::string to_text() const;
  std::string to_html() const;
};

/// Size, quality, speed and speed-up of each group and run.
Table main_table(const std::vector<RunData>& runs, const Comparison& comparison);
/// What it took to reach the baseline's best NLP.
Table reach_table(const std::vector<RunData>& runs, const Comparison& comparison);
/// Settings of the recipes that are not the same in all runs.
Table settings_table(const std::vector<RunData>& runs);

/// "12.3M"
std::string short_count(double value);
/// "6.64 s", "4 min 05 s"; "–" if not known.
std::string duration_text(double seconds);

}  // namespace switchyard
