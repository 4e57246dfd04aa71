#include "report/static_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/format.h"
#include "report/escape.h"
#include "report/table.h"

namespace switchyard {
namespace {

constexpr double kWidth = 960, kHeight = 400;
constexpr double kLeft = 70, kRight = 190, kTop = 16, kBottom = 48;
constexpr double kLabelHeight = 16;
constexpr size_t kColours = 8;
constexpr size_t kMaxMarks = 50;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

class Plot {
 public:
  Plot(Range x, Range y) : x_(x), y_(y) {}

  double x(double step) const {
    return kLeft + (step - x_.low) / (x_.high - x_.low) * (kWidth - kLeft - kRight);
  }
  double y(double nlp) const {
    return kTop + (y_.high - nlp) / (y_.high - y_.low) * (kHeight - kTop - kBottom);
  }

  std::string axes() const {
    std::string svg;
    for (const double mark : axis_marks(x_.low, x_.high, 6)) {
      svg += format(
          "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>"
          "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>\n",
          x(mark), kTop, kHeight - kBottom, kHeight - kBottom + 18, short_count(mark));
    }
    for (const double mark : axis_marks(y_.low, y_.high, 6)) {
      svg += format(
          "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
          "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.4g}</text>\n",
          kLeft, kWidth - kRight, y(mark), kLeft - 8, y(mark) + 4, mark);
    }
    return svg + format(
                     "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">steps</text>\n"
                     "<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">"
                     "held-out NLP (nats per target)</text>\n",
                     (kLeft + kWidth - kRight) / 2, kHeight - 8, (kTop + kHeight - kBottom) / 2);
  }

  std::string line(const RunData& run, size_t colour) const {
    std::string points;
    for (const EvalPoint& point : run.evaluations) {
      if (!std::isfinite(point.nlp)) continue;
      points += format("{:.1f},{:.1f} ", x(point.step), y(point.nlp));
    }
    return format("<polyline class=\"line c{}\" points=\"{}\"/>\n", colour % kColours, points);
  }

 private:
  Range x_, y_;
};

// From the second evaluation on: the first one of an untrained model would flatten all others.
Range shown_nlp(const std::vector<RunData>& runs) {
  Range range;
  for (const RunData& run : runs) {
    const size_t first = run.evaluations.size() > 2 ? 1 : 0;
    for (size_t i = first; i < run.evaluations.size(); ++i) range.add(run.evaluations[i].nlp);
  }
  const double margin = std::max(0.05 * (range.high - range.low), 1e-3);
  return {range.low - margin, range.high + margin};
}

// Cut to what fits beside the plot, never inside a character.
std::string shortened(const std::string& name) {
  constexpr size_t kMaxBytes = 24;
  if (name.size() <= kMaxBytes) return name;
  size_t end = kMaxBytes - 1;
  while (end > 0 && (name[end] & 0xC0) == 0x80) --end;
  return name.substr(0, end) + "…";
}

// Names at the right end of the lines, moved apart where they would overlap.
std::string labels(const Comparison& comparison, const Plot& plot) {
  struct Label {
    double y;
    size_t group;
  };
  std::vector<Label> places;
  for (size_t g = 0; g < comparison.groups.size(); ++g) {
    const double nlp = spread_of(comparison, comparison.groups[g], [](const RunNumbers& run) {
                         return run.final_nlp;
                       }).mean;
    if (std::isfinite(nlp)) places.push_back({plot.y(nlp), g});
  }
  std::sort(places.begin(), places.end(), [](auto& a, auto& b) { return a.y < b.y; });
  double least = kTop;
  for (Label& label : places) least = (label.y = std::max(label.y, least)) + kLabelHeight;
  double most = kHeight - kBottom;
  for (auto label = places.rbegin(); label != places.rend(); ++label) {
    most = (label->y = std::min(label->y, most)) - kLabelHeight;
  }
  std::string svg;
  for (const Label& label : places) {
    const std::string name = shortened(comparison.groups[label.group].name);
    svg += format("<text class=\"label c{}\" x=\"{}\" y=\"{:.1f}\">{}</text>\n",
                  label.group % kColours, kWidth - kRight + 10, label.y + 4, escape_html(name));
  }
  return svg;
}

}  // namespace

std::vector<double> axis_marks(double low, double high, int count) {
  std::vector<double> marks;
  if (!(high > low) || !std::isfinite(high - low)) return marks;
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double nice : {5.0, 2.0, 1.0}) {
    if (nice * power >= rough) step = nice * power;
  }
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) {
    if (marks.size() == kMaxMarks) break;  // i no longer moves a number this large
    marks.push_back(i * step + 0.0);       // never -0
  }
  return marks;
}

std::string static_plot(const std::vector<RunData>& runs, const Comparison& comparison) {
  Range steps;
  for (const RunData& run : runs) {
    for (const EvalPoint& point : run.evaluations) {
      if (std::isfinite(point.nlp)) steps.add(point.step);
    }
  }
  if (!(steps.high > steps.low)) return {};
  steps.low = 0;
  const Plot plot(steps, shown_nlp(runs));
  std::string svg = format(
      "<svg class=\"static-plot\" viewBox=\"0 0 {} {}\" role=\"img\" "
      "aria-label=\"Held-out NLP against steps\">\n",
      kWidth, kHeight);
  svg += format(
      "<clipPath id=\"static-area\"><rect x=\"{}\" y=\"{}\" width=\"{}\" "
      "height=\"{}\"/></clipPath>\n",
      kLeft, kTop, kWidth - kLeft - kRight, kHeight - kTop - kBottom);
  svg += plot.axes() + "<g clip-path=\"url(#static-area)\">\n";
  for (size_t g = 0; g < comparison.groups.size(); ++g) {
    for (const size_t run : comparison.groups[g].runs) svg += plot.line(runs[run], g);
  }
  return svg + "</g>\n" + labels(comparison, plot) + "</svg>\n";
}

}  // namespace switchyard
