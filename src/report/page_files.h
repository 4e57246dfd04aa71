// The files of page/, put into the program at build time (cmake/embed_files.cmake).
#pragma once

#include <string_view>

namespace switchyard {

extern const std::string_view kReportHtml, kReportCss, kReportJs, kTimelineHtml, kTimelineJs;

}  // namespace switchyard
