// The page's part of languages.h: plots that need no script.
#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "report/escape.h"
#include "report/languages.h"
#include "report/static_plot.h"
#include "report/table.h"

namespace switchyard {
namespace {

constexpr double kWidth = 960, kHeight = 300;
constexpr double kLeft = 64, kRight = 16, kTop = 16, kBottom = 56;
constexpr double kBase = kHeight - kBottom;
constexpr size_t kUprightLabels = 24;  // more of them are turned

std::string open_svg(const std::string& label) {
  return format("<svg class=\"bars\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
                kWidth, kHeight, escape_html(label));
}

/// Marks of the vertical axis, and what it and the horizontal one count.
std::string axes(double low, double high, int marks, const std::string& x, const std::string& y) {
  std::string svg;
  const auto at = [&](double value) {
    return kBase - (value - low) / (high - low) * (kBase - kTop);
  };
  for (const double mark : axis_marks(low, high, marks)) {
    svg += format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.3g}</text>\n",
        kLeft, kWidth - kRight, at(mark), kLeft - 8, at(mark) + 4, mark);
  }
  svg += format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                (kLeft + kWidth - kRight) / 2, kHeight - 6, escape_html(x));
  return svg + format(
                   "<text transform=\"translate(16 {}) rotate(-90)\" "
                   "text-anchor=\"middle\">{}</text>\n",
                   (kTop + kBase) / 2, escape_html(y));
}

std::string bar(double x, double width, double from, double to, const char* kind,
                const std::string& title) {
  return format(
      "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\">"
      "<title>{}</title></rect>\n",
      kind, x, std::min(from, to), width, std::max(std::abs(to - from), 0.5), escape_html(title));
}

std::string name_below(double x, double y, const std::string& name, bool turned) {
  const std::string text = escape_html(name);
  if (!turned)
    return format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x, y, text);
  return format(
      "<text transform=\"translate({:.1f} {}) rotate(-60)\" text-anchor=\"end\">{}</text>\n", x + 4,
      y - 6, text);
}

/// Figure 7: what each language gains, largest first.
std::string gain_plot(const LanguageComparison& comparison) {
  double low = 0, high = 0;
  for (const LanguageNumbers& language : comparison.languages) {
    low = std::min(low, language.gain);
    high = std::max(high, language.gain);
  }
  const double margin = std::max(0.05 * (high - low), 1e-4);
  if (low < 0) low -= margin;
  high += margin;
  const auto y = [&](double gain) { return kBase - (gain - low) / (high - low) * (kBase - kTop); };
  std::string svg = open_svg("Gain in NLP of each language");
  svg += axes(low, high, 5, "languages, largest gain first", "gain in NLP (nats per target)");
  const size_t count = comparison.languages.size();
  const double step = (kWidth - kLeft - kRight) / static_cast<double>(count);
  for (size_t i = 0; i < count; ++i) {
    const LanguageNumbers& language = comparison.languages[i];
    const double x = kLeft + step * static_cast<double>(i);
    svg += bar(x + 0.14 * step, 0.72 * step, y(0), y(language.gain),
               language.gain > 0 ? "bar" : "bar loss",
               format("{}: {:+.4f}", language.name, language.gain));
    svg += name_below(x + step / 2, kBase + 18, language.name, count > kUprightLabels);
  }
  return svg +
         format("<line class=\"axis\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n",
                kLeft, kWidth - kRight, y(0)) +
         "</svg>\n";
}

/// Figure 8: how many languages have which speed-up.
std::string speed_up_plot(const LanguageComparison& comparison) {
  constexpr int kBins = 14;
  std::vector<double> speed_ups;
  for (const LanguageNumbers& language : comparison.languages) {
    speed_ups.push_back(language.speed_up);
  }
  const Histogram histogram = histogram_of(speed_ups, kBins);
  if (histogram.counts.empty()) return "<p>No language reaches the baseline's best.</p>\n";
  const int most = *std::max_element(histogram.counts.begin(), histogram.counts.end());
  const double high = 1.1 * most;
  const auto bins = static_cast<double>(histogram.counts.size());
  const double step = (kWidth - kLeft - kRight) / bins;
  std::string svg = open_svg("Languages by speed-up in steps");
  svg += axes(0, high, std::min(most, 6), "speed-up in steps", "languages");
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    const double from = histogram.low + histogram.width * static_cast<double>(i);
    const double x = kLeft + step * static_cast<double>(i);
    const double top = kBase - histogram.counts[i] / high * (kBase - kTop);
    svg += bar(x + 1, step - 2, kBase, top, "bar",
               format("{:.3g} to {:.3g}: {}", from, from + histogram.width, histogram.counts[i]));
    svg += name_below(x, kBase + 18, format("{:.3g}", from), false);
  }
  const double end = histogram.low + histogram.width * bins;
  return svg + name_below(kWidth - kRight - 8, kBase + 18, format("{:.3g}", end), false) +
         "</svg>\n";
}

Table language_table(const LanguageComparison& comparison) {
  Table table;
  table.caption = "Languages of " + comparison.group + " against " + comparison.baseline;
  table.columns = {"Language", "NLP of " + comparison.baseline, "NLP of " + comparison.group,
                   "gain", "× steps"};
  for (const LanguageNumbers& language : comparison.languages) {
    std::string speed_up = "not reached";
    if (language.reached > 0) {
      speed_up = format("{}{:.2f}×", language.at_first ? "≥ " : "", language.speed_up);
      if (language.reached < language.seeds) {
        speed_up += format(" ({} of {})", language.reached, language.seeds);
      }
    }
    Table::Row row;
    row.cells = {language.name, format("{:.4f}", language.baseline_nlp),
                 format("{:.4f}", language.nlp), format("{:+.4f}", language.gain), speed_up};
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string group_html(const LanguageComparison& comparison) {
  const std::string group = escape_html(comparison.group);
  std::string html = format("<p><b>{}</b>: {} of {} languages gain over {}; {} reach its best NLP",
                            group, comparison.gained, comparison.languages.size(),
                            escape_html(comparison.baseline), comparison.reached);
  if (comparison.reached_by_some > comparison.reached) {
    html += format(" with every seed, {} with some", comparison.reached_by_some);
  }
  if (std::isfinite(comparison.mean_speed_up)) {
    html +=
        format(", those that do in {:.2f} times fewer steps on average", comparison.mean_speed_up);
  }
  html += ".</p>\n<figure><figcaption>Gain of " + group + "</figcaption>\n" +
          gain_plot(comparison) + "</figure>\n";
  html += "<figure><figcaption>Speed-up in steps of " + group + "</figcaption>\n" +
          speed_up_plot(comparison) + "</figure>\n";
  return html + "<details><summary>" + group + ": every language</summary>\n" +
         language_table(comparison).to_html() + "</details>\n";
}

}  // namespace

std::string languages_html(const std::vector<LanguageComparison>& comparisons) {
  if (comparisons.empty()) return {};
  std::string html =
      "<section id=\"languages\">\n<h2>Languages</h2>\n"
      "<p class=\"note\">Held-out data source by source. Gain: final NLP minus the baseline's. "
      "Speed-up: steps after which the baseline has its best NLP of that language over the steps "
      "after which the run first has it; languages that do not reach it are left out of the mean "
      "and the histogram.</p>\n";
  for (const LanguageComparison& comparison : comparisons) html += group_html(comparison);
  return html + "</section>\n";
}

}  // namespace switchyard
