// Which tokens each expert gets, as tables of the page.
#pragma once

#include <string>
#include <vector>

#include "report/run_data.h"

namespace switchyard {

/// For each run with experts a table for each layer: experts and the tokens that tell most of them,
/// with numbers to point at; "" if nothing is known of any run. Experts beyond the first 64 of a
/// layer are left out, and told.
std::string expert_tokens_html(const std::vector<RunData>& runs);

}  // namespace switchyard
