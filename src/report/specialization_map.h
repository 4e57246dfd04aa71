// Which data experts get: sources against experts, layer by layer.
#pragma once

#include <string>
#include <vector>

#include "report/run_data.h"

namespace switchyard {

/// How far the experts of a layer tell sources apart: mutual information between source and expert,
/// in nats, of tokens drawn from all sources alike. 0: every source uses the experts in the same
/// way. `loads`: one per source, of equal length.
double mutual_information(const std::vector<const SourceLoad*>& loads);

/// A map for each run and layer, cells coloured by a source's share against the mean over sources;
/// "" if no run has more than one source.
std::string specialization_html(const std::vector<RunData>& runs);

}  // namespace switchyard
