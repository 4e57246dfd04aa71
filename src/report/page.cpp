#include "report/page.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "base/progress.h"
#include "report/escape.h"
#include "report/expert_tokens.h"
#include "report/finetuning_tables.h"
#include "report/languages.h"
#include "report/page_data.h"
#include "report/page_files.h"
#include "report/specialization_map.h"
#include "report/static_plot.h"
#include "report/table.h"

namespace switchyard {
namespace {

std::string warnings_html(const std::vector<std::string>& warnings) {
  if (warnings.empty()) return {};
  std::string html = "<section class=\"warnings\" role=\"note\"><h2>Warnings</h2>\n<ul>\n";
  for (const std::string& warning : warnings) html += "<li>" + escape_html(warning) + "</li>\n";
  return html + "</ul></section>\n";
}

std::string settings_html(const std::vector<RunData>& runs) {
  if (runs.size() == 1) return "<p>There is one run only.</p>\n";
  const Table table = settings_table(runs);
  if (table.rows.empty()) return "<p>All runs have the same settings.</p>\n";
  return table.to_html();
}

/// Nothing if the table has no rows.
std::string section_html(const std::string& title, const Table& table) {
  if (table.rows.empty()) return {};
  return format("<section>\n<h2>{}</h2>\n{}</section>\n", title, table.to_html());
}

std::string run_html(const RunData& run) {
  std::string html =
      format("<details class=\"run\"><summary>{}</summary>\n<dl>\n", escape_html(run.name));
  const auto add = [&](const std::string& label, const std::string& value) {
    html += format("<dt>{}</dt><dd>{}</dd>\n", escape_html(label), escape_html(value));
  };
  add("directory", run.path);
  add("state", run.last_event.empty() ? "not started" : run.last_event);
  if (run.torn) add("metrics", "the last line is incomplete: cut off, or being written");
  for (const auto& [label, value] : run.facts) add(label, value);
  return html + format("</dl>\n<h4>recipe.toml</h4>\n<pre>{}</pre>\n</details>\n",
                       escape_html(run.recipe.to_toml()));
}

std::string runs_html(const std::vector<RunData>& runs) {
  std::string html;
  for (const RunData& run : runs) html += run_html(run);
  return html;
}

std::string level_html(const Comparison& comparison) {
  const Group& baseline = comparison.groups[comparison.baseline];
  const std::string name = escape_html(baseline.name);
  if (std::isnan(comparison.level)) {
    return format("The baseline, <b>{}</b>, has no evaluation yet: there is no level to reach.",
                  name);
  }
  const Cost& cost = comparison.baseline_cost.cost;
  return format(
      "The level is the best held-out NLP of the baseline, <b>{}</b>: <b>{:.4f}</b>{}, reached "
      "after "
      "{} steps, {} tokens and {} of training. A run's speed-up is that cost over what the run "
      "spent "
      "until its running best first reached the level, interpolated linearly between evaluations.",
      name, comparison.level,
      baseline.runs.size() > 1 ? format(" (mean of {} seeds)", baseline.runs.size()) : "",
      format_count(std::llround(cost.steps)), short_count(cost.tokens),
      duration_text(cost.seconds));
}

std::string title_of(const Comparison& comparison) {
  constexpr size_t kShown = 6;
  std::string title;
  for (size_t g = 0; g < std::min(kShown, comparison.groups.size()); ++g) {
    title += (g > 0 ? ", " : "") + comparison.groups[g].name;
  }
  if (comparison.groups.size() > kShown) {
    title += format(" and {} more", comparison.groups.size() - kShown);
  }
  return title;
}

}  // namespace

std::string fill_template(std::string_view text, const std::map<std::string, std::string>& parts) {
  std::string out;
  for (;;) {
    const size_t open = text.find("{{");
    const size_t close = open == text.npos ? text.npos : text.find("}}", open);
    out += text.substr(0, close == text.npos ? text.npos : open);
    if (close == text.npos) return out;
    out += parts.at(std::string(text.substr(open + 2, close - open - 2)));
    text.remove_prefix(close + 2);
  }
}

std::string make_page(const std::vector<RunData>& runs, const Comparison& comparison,
                      const std::string& version, const std::string& time) {
  const std::string plot = static_plot(runs, comparison);
  return fill_template(
      kReportHtml,
      {{"title", escape_html(title_of(comparison))},
       {"style", std::string(kReportCss)},
       {"script", std::string(kReportJs)},
       {"data", script_json(page_data(runs, comparison))},
       {"warnings", warnings_html(comparison.warnings)},
       {"main_table", main_table(runs, comparison).to_html()},
       {"reach_table", reach_table(runs, comparison).to_html()},
       {"level", level_html(comparison)},
       {"tasks", section_html("Tasks", task_table(runs, comparison))},
       {"distillation", section_html("Distillation", distillation_table(runs, comparison))},
       {"static_plot", plot.empty() ? "<p>There are too few evaluations for a plot.</p>" : plot},
       {"languages", languages_html(compare_languages(runs, comparison))},
       {"specialization", specialization_html(runs) + expert_tokens_html(runs)},
       {"settings", settings_html(runs)},
       {"runs", runs_html(runs)},
       {"version", escape_html(version)},
       {"time", escape_html(time)}});
}

}  // namespace switchyard
