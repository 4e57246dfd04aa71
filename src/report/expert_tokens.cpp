#include "report/expert_tokens.h"

#include <algorithm>

#include "base/format.h"
#include "report/escape.h"

namespace switchyard {
namespace {

constexpr size_t kMostExperts = 64;  // of a table that one can still read

std::string token_html(const TellingToken& token) {
  return format(
      "<span class=\"piece\" title=\"{:.1f} % of the expert's tokens; the expert gets {:.0f} % of "
      "its occurrences\">{}</span>",
      100 * token.share, 100 * token.of_id, escape_html(token.piece));
}

std::string layer_html(const LayerTokens& layer) {
  std::string html =
      "<details><summary>" + escape_html(layer.layer) +
      "</summary>\n<table><thead><tr><th>expert</th><th class=\"text\">tokens</th></tr></thead>"
      "<tbody>\n";
  for (size_t e = 0; e < std::min(layer.experts.size(), kMostExperts); ++e) {
    std::string tokens;
    for (const TellingToken& token : layer.experts[e]) tokens += token_html(token) + " ";
    html += format("<tr><td>{}</td><td class=\"text\">{}</td></tr>\n", e, tokens);
  }
  html += "</tbody></table>\n";
  if (layer.experts.size() > kMostExperts) {
    html +=
        format("<p class=\"note\">and {} more experts</p>\n", layer.experts.size() - kMostExperts);
  }
  return html + "</details>\n";
}

}  // namespace

std::string expert_tokens_html(const std::vector<RunData>& runs) {
  std::string html;
  for (const RunData& run : runs) {
    if (run.layer_tokens.empty()) continue;
    html += "<h3>" + escape_html(run.name) + "</h3>\n";
    for (const LayerTokens& layer : run.layer_tokens) html += layer_html(layer);
  }
  if (html.empty()) return {};
  return "<section id=\"expert-tokens\">\n<h2>Which tokens each expert gets</h2>\n"
         "<p class=\"note\">Of held-out data at the last evaluation, those first that tell most of "
         "the expert: what makes up much of its tokens, and more of them than of other experts'. "
         "In decoder layers the token is the one that was just read. Point at a token for its "
         "share.</p>\n" +
         html + "</section>\n";
}

}  // namespace switchyard
