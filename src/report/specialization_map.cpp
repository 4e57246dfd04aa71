#include "report/specialization_map.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/format.h"
#include "report/escape.h"

namespace switchyard {
namespace {

constexpr double kWidth = 960, kLeft = 64, kRow = 13, kTop = 20;
constexpr size_t kMaxExperts = 256, kMaxSources = 128;  // of a map that one can still read

using Loads = std::vector<const SourceLoad*>;

std::vector<double> mean_load(const Loads& loads) {
  std::vector<double> mean(loads.front()->load.size(), 0.0);
  for (const SourceLoad* load : loads) {
    for (size_t e = 0; e < mean.size(); ++e) {
      mean[e] += load->load[e] / static_cast<double>(loads.size());
    }
  }
  return mean;
}

/// Log2 of share over mean share, cut to [-2, 2]: a quarter to four times.
double deviation(double share, double mean) {
  if (!(mean > 0)) return 0;
  return std::clamp(std::log2(std::max(share / mean, 1e-9)), -2.0, 2.0);
}

std::string cell(double x, double y, double width, const std::string& title, double away) {
  return format(
      "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
      "fill-opacity=\"{:.2f}\"><title>{}</title></rect>",
      away > 0 ? "more" : "less", x, y, width, kRow - 1, std::abs(away) / 2, escape_html(title));
}

std::string layer_map(const std::string& layer, const Loads& loads) {
  const std::vector<double> mean = mean_load(loads);
  const double width = (kWidth - kLeft) / static_cast<double>(mean.size());
  std::string svg = format(
      "<svg class=\"map\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Share of each "
      "source at each expert of {}\">\n",
      kWidth, kTop + kRow * static_cast<double>(loads.size()), escape_html(layer));
  for (size_t e = 0; e < mean.size() && mean.size() <= 64; ++e) {
    svg += format("<text x=\"{:.1f}\" y=\"14\" text-anchor=\"middle\">{}</text>",
                  kLeft + width * (static_cast<double>(e) + 0.5), e);
  }
  for (size_t s = 0; s < loads.size(); ++s) {
    const double y = kTop + kRow * static_cast<double>(s);
    svg += format("\n<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 6, y + 10,
                  escape_html(loads[s]->source));
    for (size_t e = 0; e < mean.size(); ++e) {
      const double share = loads[s]->load[e];
      svg += cell(kLeft + width * static_cast<double>(e), y, std::max(width - 1, 0.5),
                  format("{}, expert {}: {:.1f} % of its tokens, mean {:.1f} %", loads[s]->source,
                         e, 100 * share, 100 * mean[e]),
                  deviation(share, mean[e]));
    }
  }
  return format(
             "<figure><figcaption>{} <span class=\"note\">mutual information of source and "
             "expert: {:.3f} nats</span></figcaption>\n",
             escape_html(layer), mutual_information(loads)) +
         svg + "\n</svg></figure>\n";
}

/// The layers of a run in their order, those whose sources have loads of equal length.
std::vector<std::pair<std::string, Loads>> layers_of(const RunData& run) {
  std::vector<std::pair<std::string, Loads>> layers;
  for (const SourceLoad& load : run.source_loads) {
    if (layers.empty() || layers.back().first != load.layer) layers.push_back({load.layer, {}});
    layers.back().second.push_back(&load);
  }
  std::erase_if(layers, [](const auto& layer) {
    const Loads& loads = layer.second;
    const size_t experts = loads.front()->load.size();
    return loads.size() < 2 || loads.size() > kMaxSources || experts > kMaxExperts ||
           std::any_of(loads.begin(), loads.end(),
                       [&](const SourceLoad* load) { return load->load.size() != experts; });
  });
  return layers;
}

}  // namespace

double mutual_information(const std::vector<const SourceLoad*>& loads) {
  const std::vector<double> mean = mean_load(loads);
  double information = 0;
  for (const SourceLoad* load : loads) {
    for (size_t e = 0; e < mean.size(); ++e) {
      const double share = load->load[e];
      if (share > 0 && mean[e] > 0) information += share * std::log(share / mean[e]);
    }
  }
  return information / static_cast<double>(loads.size());
}

std::string specialization_html(const std::vector<RunData>& runs) {
  std::string html;
  for (const RunData& run : runs) {
    std::string maps;
    for (const auto& [layer, loads] : layers_of(run)) maps += layer_map(layer, loads);
    if (!maps.empty()) {
      html += "<details open><summary>" + escape_html(run.name) +
              "</summary>\n<div class=\"grid\">\n" + maps + "</div></details>\n";
    }
  }
  if (html.empty()) return {};
  return "<section id=\"specialization\">\n<h2>Which data each expert gets</h2>\n"
         "<p class=\"note\">Rows: sources of held-out data. Columns: experts. Colour: the share of "
         "the source's tokens that the expert gets against the mean over sources; full colour is "
         "four times as much or a quarter. At the last evaluation, first choices.</p>\n" +
         html + "</section>\n";
}

}  // namespace switchyard
