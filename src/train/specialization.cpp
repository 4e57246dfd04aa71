#include "train/specialization.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace switchyard {
namespace {

nlohmann::ordered_json load_of(const RoutingStats& stats) {
  std::vector<double> load = stats.load;
  for (double& share : load) share /= std::max(stats.tokens, 1.0);
  return load;
}

}  // namespace

void write_specialization(const std::string& run_directory, int64_t step,
                          const RunEvaluation& evaluation) {
  const std::vector<RoutingStats>& all = evaluation.all.routing;
  if (all.empty()) return;
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (size_t l = 0; l < all.size(); ++l) {
    nlohmann::ordered_json sources = nlohmann::ordered_json::object();
    for (const auto& [name, result] : evaluation.by_source) {
      if (l >= result.routing.size()) continue;  // nothing was evaluated
      sources[name] = {{"tokens", result.routing[l].tokens}, {"load", load_of(result.routing[l])}};
    }
    layers.push_back({{"layer", all[l].layer}, {"sources", sources}});
  }
  const nlohmann::ordered_json object = {{"step", step}, {"layers", layers}};
  write_file(run_directory + "/" + kSpecializationFile, object.dump(1) + "\n");
}

}  // namespace switchyard
