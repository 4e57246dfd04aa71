#include "report/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "base/format.h"
#include "base/progress.h"
#include "report/escape.h"

namespace switchyard {
namespace {

constexpr const char* kNone = "–";

using Number = std::function<double(const RunNumbers&)>;

size_t width_of(const std::string& text) {  // in characters, not bytes
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width, bool left) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return left ? text + space : space + text;
}

// Calls visit(row name, run indices, is a member) for each group and, if it has several, each run.
template <class Visit>
void for_each_row(const std::vector<RunData>& runs, const Comparison& comparison, Visit visit) {
  for (size_t g = 0; g < comparison.groups.size(); ++g) {
    const Group& group = comparison.groups[g];
    const bool several = group.runs.size() > 1;
    const std::string name =
        several ? format("{} ({} seeds)", group.name, group.runs.size()) : group.name;
    visit(name, group, g == comparison.baseline, false);
    if (!several) continue;
    for (const size_t run : group.runs) {
      visit(runs[run].name, Group{runs[run].name, {run}}, g == comparison.baseline, true);
    }
  }
}

std::string mean_text(const Spread& spread, const std::string& pattern) {
  if (spread.count == 0) return kNone;
  const std::string text = format(fmt::runtime(pattern), spread.mean);
  const bool is_zero = text.find_first_of("123456789") == std::string::npos;
  return is_zero ? format(fmt::runtime(pattern), 0.0) : text;  // no "-0.0000"
}

// Seeds differ by more than the fourth decimal: three are enough for their mean.
std::string nlp_text(const Spread& spread, const char* sign = "") {
  if (spread.count > 1) {
    return mean_text(spread, format("{{:{}.3f}}", sign)) + format(" ± {:.3f}", spread.deviation);
  }
  return mean_text(spread, format("{{:{}.4f}}", sign));
}

// Speed-up of those runs of a group that reached the level.
std::string speed_up_text(const Comparison& comparison, const Group& group, const Number& number) {
  if (std::isnan(comparison.level)) return kNone;
  const Spread spread = spread_of(comparison, group, number);
  size_t reached = 0;
  bool at_first = false;
  for (const size_t run : group.runs) {
    const Crossing& reach = comparison.runs[run].reach;
    reached += reach.reached ? 1 : 0;
    at_first |= reach.at_first;
  }
  if (reached == 0) {
    return std::isnan(comparison.runs[group.runs.front()].best_nlp) ? kNone : "not reached";
  }
  if (spread.count == 0) return kNone;
  std::string text = format("{}{:.2f}×", at_first ? "≥ " : "", spread.mean);
  if (spread.count > 1) text += format(" ± {:.2f}", spread.deviation);
  if (reached < group.runs.size()) text += format(" ({} of {})", reached, group.runs.size());
  return text;
}

// The baseline itself is 1 by definition; its level is the mean of its seeds, which none of them is
// measured against.
std::string speed_up_cell(const Comparison& comparison, const Group& group, bool baseline,
                          bool member, const Number& number) {
  if (baseline) return member || std::isnan(comparison.level) ? kNone : "1.00×";
  return speed_up_text(comparison, group, number);
}

std::string whole(double value) {
  return std::isfinite(value) ? format_count(static_cast<long long>(std::llround(value))) : kNone;
}

std::string setting_text(const RunData& run, size_t field) {
  Recipe recipe = run.recipe;
  FieldList fields;
  recipe.list_fields(fields);
  return fields.fields()[field].to_toml();
}

}  // namespace

std::string short_count(double value) {
  if (!std::isfinite(value)) return kNone;
  constexpr std::array<const char*, 5> kUnits = {"", "k", "M", "G", "T"};
  size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? format("{:.0f}", value) : format("{:.3g}{}", value, kUnits[unit]);
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) return kNone;
  return seconds < 60 ? format("{:.3g} s", seconds) : format_duration(seconds);
}

std::string Table::to_text() const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns.size(); ++c) {
    size_t width = width_of(columns[c]);
    for (const Row& row : rows) {
      width = std::max(width, width_of(row.cells[c]) + (c == 0 && row.member ? 2 : 0));
    }
    widths.push_back(width);
  }
  std::string text;
  const auto add_line = [&](const std::vector<std::string>& cells, bool member) {
    std::string line;
    for (size_t c = 0; c < cells.size(); ++c) {
      const std::string cell = c == 0 && member ? "  " + cells[c] : cells[c];
      line += (c > 0 ? "  " : "") + padded(cell, widths[c], c < text_columns);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add_line(columns, false);
  for (const Row& row : rows) add_line(row.cells, row.member);
  return text;
}

std::string Table::to_html() const {
  std::string html = "<div class=\"table-scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
                     escape_html(caption) + "\">\n<table>\n<caption>" + escape_html(caption) +
                     "</caption>\n<thead><tr>";
  const auto kind = [&](size_t c) { return c < text_columns ? " class=\"text\"" : ""; };
  for (size_t c = 0; c < columns.size(); ++c) {
    html += format("<th scope=\"col\"{}>{}</th>", kind(c), escape_html(columns[c]));
  }
  html += "</tr></thead>\n<tbody>\n";
  for (const Row& row : rows) {
    html += format("<tr class=\"{}{}\">", row.member ? "member" : "row",
                   row.baseline ? " baseline" : "");
    for (size_t c = 0; c < row.cells.size(); ++c) {
      const std::string cell = escape_html(row.cells[c]);
      html += c == 0 ? format("<th scope=\"row\" class=\"text\">{}</th>", cell)
                     : format("<td{}>{}</td>", kind(c), cell);
    }
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table>\n</div>\n";
}

Table main_table(const std::vector<RunData>& runs, const Comparison& comparison) {
  Table table;
  table.caption = "Size, held-out quality, speed, and speed-up to equal quality";
  table.columns = {"Run",       "Params",  "GFLOP / seq", "Experts",  "Final NLP",
                   "Δ nats",    "s/step",  "time ratio",  "tokens/s", "GEMM %",
                   "dropped %", "× steps", "× tokens",    "× time"};
  for_each_row(runs, comparison,
               [&](const std::string& name, const Group& group, bool baseline, bool member) {
                 const RunData& first = runs[group.runs.front()];
                 const auto spread = [&](double RunNumbers::*number, double factor = 1) {
                   return spread_of(comparison, group,
                                    [=](const RunNumbers& run) { return factor * (run.*number); });
                 };
                 const Spread tokens_per_second = spread(&RunNumbers::tokens_per_second);
                 const auto gain = [&](double Cost::*unit) {
                   return speed_up_cell(comparison, group, baseline, member,
                                        [=](const RunNumbers& run) { return run.speed_up.*unit; });
                 };
                 Table::Row row;
                 row.baseline = baseline;
                 row.member = member;
                 row.cells = {
                     name + (baseline && !member ? " (baseline)" : ""),
                     short_count(first.parameters),
                     format("{:.3g}", first.forward_flops * 1e-9),
                     first.dense() ? "dense" : format("{}", first.recipe.model.moe.num_experts),
                     nlp_text(spread(&RunNumbers::final_nlp)),
                     nlp_text(spread(&RunNumbers::difference), "+"),
                     mean_text(spread(&RunNumbers::seconds_per_step), "{:.3g}"),
                     mean_text(spread(&RunNumbers::time_ratio), "{:.2f}"),
                     whole(tokens_per_second.mean),
                     mean_text(spread(&RunNumbers::gemm_share, 100), "{:.1f}"),
                     mean_text(spread(&RunNumbers::dropped_share, 100), "{:.2f}"),
                     gain(&Cost::steps),
                     gain(&Cost::tokens),
                     gain(&Cost::seconds)};
                 table.rows.push_back(std::move(row));
               });
  return table;
}

Table reach_table(const std::vector<RunData>& runs, const Comparison& comparison) {
  Table table;
  table.caption = "When each run first reaches the baseline's best held-out NLP";
  table.columns = {"Run",  "Best NLP", "reached at step", "tokens",
                   "time", "× steps",  "× tokens",        "× time"};
  const auto add = [&](const std::string& name, const RunNumbers& numbers, const Crossing& reach,
                       const Cost& gain, bool baseline) {
    const bool known = !std::isnan(comparison.level) && !std::isnan(numbers.best_nlp);
    const std::string missing = known ? "not reached" : kNone;
    const auto cost = [&](const std::string& text) {
      return !reach.reached ? missing : (reach.at_first ? "≤ " : "") + text;
    };
    const auto times = [&](double value) {
      return std::isfinite(value) ? format("{}{:.2f}×", reach.at_first ? "≥ " : "", value)
                                  : missing;
    };
    Table::Row row;
    row.baseline = baseline;
    row.cells = {name,
                 std::isfinite(numbers.best_nlp) ? format("{:.4f}", numbers.best_nlp) : kNone,
                 cost(whole(reach.cost.steps)),
                 cost(short_count(reach.cost.tokens)),
                 cost(duration_text(reach.cost.seconds)),
                 times(gain.steps),
                 times(gain.tokens),
                 times(gain.seconds)};
    table.rows.push_back(std::move(row));
  };
  const Group& baseline = comparison.groups[comparison.baseline];
  if (baseline.runs.size() > 1) {  // its level is a mean, so none of its runs stands for it
    RunNumbers mean;
    mean.best_nlp = comparison.level;
    Crossing cost = comparison.baseline_cost;
    cost.at_first = false;
    add(baseline.name + " (baseline, mean)", mean, cost, speed_up(cost, cost), true);
  }
  for (size_t g = 0; g < comparison.groups.size(); ++g) {
    for (const size_t run : comparison.groups[g].runs) {
      const RunNumbers& numbers = comparison.runs[run];
      const bool alone = g == comparison.baseline && baseline.runs.size() == 1;
      add(runs[run].name + (alone ? " (baseline)" : ""), numbers, numbers.reach, numbers.speed_up,
          alone);
    }
  }
  return table;
}

Table settings_table(const std::vector<RunData>& runs) {
  Table table;
  table.caption = "Settings that are not the same in all runs";
  table.columns = {"Setting"};
  for (const RunData& run : runs) table.columns.push_back(run.name);
  table.text_columns = table.columns.size();
  Recipe recipe;
  FieldList fields;
  recipe.list_fields(fields);
  for (size_t f = 0; f < fields.fields().size(); ++f) {
    Table::Row row;
    row.cells = {fields.fields()[f].key};
    for (const RunData& run : runs) row.cells.push_back(setting_text(run, f));
    const bool same = std::all_of(row.cells.begin() + 1, row.cells.end(),
                                  [&](const auto& cell) { return cell == row.cells[1]; });
    if (!same) table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace switchyard
