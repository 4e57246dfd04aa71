// A planned step as one HTML file that needs nothing else: the plan, a timeline of some ranks, and
// memory over time.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace switchyard {

/// `trace` as chrome_trace() makes it; `text` is what `plan` prints.
std::string make_timeline_page(const std::string& title, const std::string& text,
                               const nlohmann::ordered_json& trace, const std::string& version);

}  // namespace switchyard
