#include "report/timeline_page.h"

#include <nlohmann/json.hpp>

#include "report/escape.h"
#include "report/page.h"
#include "report/page_files.h"

namespace switchyard {

std::string make_timeline_page(const std::string& title, const std::string& text,
                               const nlohmann::ordered_json& trace, const std::string& version) {
  return fill_template(kTimelineHtml, {{"title", escape_html(title)},
                                       {"style", std::string(kReportCss)},
                                       {"text", escape_html(text)},
                                       {"data", script_json(trace)},
                                       {"script", std::string(kTimelineJs)},
                                       {"version", escape_html(version)}});
}

}  // namespace switchyard
