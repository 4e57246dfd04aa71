#include "train/specialization.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace switchyard {
namespace {

constexpr size_t kTokensOfAnExpert = 12;

nlohmann::ordered_json load_of(const RoutingStats& stats) {
  std::vector<double> load = stats.load;
  for (double& share : load) share /= std::max(stats.tokens, 1.0);
  return load;
}

/// [id, piece, share, share of the id] of each, expert by expert.
nlohmann::ordered_json tokens_of(const TokenChoices& choices, const std::string& layer,
                                 const Tokenizer* tokenizer) {
  nlohmann::ordered_json experts = nlohmann::ordered_json::array();
  for (const auto& tokens : choices.characteristic(layer, kTokensOfAnExpert)) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const ExpertToken& token : tokens) {
      const bool known = tokenizer && token.id < tokenizer->vocab_size();
      list.push_back({token.id, known ? tokenizer->piece(token.id) : "", token.share, token.of_id});
    }
    experts.push_back(list);
  }
  return experts;
}

}  // namespace

void write_specialization(const std::string& run_directory, int64_t step,
                          const RunEvaluation& evaluation, const Tokenizer* tokenizer) {
  const std::vector<RoutingStats>& all = evaluation.all.routing;
  if (all.empty()) return;
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (size_t l = 0; l < all.size(); ++l) {
    nlohmann::ordered_json sources = nlohmann::ordered_json::object();
    for (const auto& [name, result] : evaluation.by_source) {
      if (l >= result.routing.size()) continue;  // nothing was evaluated
      sources[name] = {{"tokens", result.routing[l].tokens}, {"load", load_of(result.routing[l])}};
    }
    layers.push_back(
        {{"layer", all[l].layer},
         {"sources", sources},
         {"expert_tokens", tokens_of(evaluation.all.choices, all[l].layer, tokenizer)}});
  }
  const nlohmann::ordered_json object = {{"step", step}, {"layers", layers}};
  // A foreign tokenizer's pieces need not be UTF-8.
  const std::string text =
      object.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  write_file(run_directory + "/" + kSpecializationFile, text + "\n");
}

}  // namespace switchyard
