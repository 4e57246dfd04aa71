#include "train/metrics_window.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace switchyard {
namespace {

nlohmann::json pair_of(const LossSum& sum) { return {sum.sum, sum.count}; }
LossSum loss_sum_of(const nlohmann::json& pair) {
  return {pair.at(0).get<double>(), pair.at(1).get<double>()};
}

nlohmann::json exact_of(const RoutingStats& stats) {
  return {{"layer", stats.layer},
          {"sums",
           {stats.tokens, stats.dropped, stats.entropy_sum, stats.confidence_sum, stats.balance,
            stats.router_z, stats.calls}},
          {"load", stats.load}};
}

RoutingStats routing_stats_of(const nlohmann::json& object) {
  RoutingStats stats;
  stats.layer = object.at("layer").get<std::string>();
  const auto sums = object.at("sums").get<std::vector<double>>();
  double* const fields[] = {&stats.tokens,         &stats.dropped, &stats.entropy_sum,
                            &stats.confidence_sum, &stats.balance, &stats.router_z,
                            &stats.calls};
  for (size_t i = 0; i < std::size(fields); ++i) *fields[i] = sums.at(i);
  stats.load = object.at("load").get<std::vector<double>>();
  return stats;
}

nlohmann::json exact_of(const BlockNorms& block) {
  return {block.block, block.gradient, block.update};
}

BlockNorms block_norms_of(const nlohmann::json& array) {
  return {array.at(0).get<std::string>(), array.at(1).get<double>(), array.at(2).get<double>()};
}

void accumulate(std::vector<BlockNorms>& into, const std::vector<BlockNorms>& from) {
  if (into.empty()) {
    into = from;
    return;
  }
  for (size_t i = 0; i < into.size(); ++i) {
    into[i].gradient += from[i].gradient;
    into[i].update += from[i].update;
  }
}

// Router health: the means over all routed tokens, then layer by layer.
void add_routing(nlohmann::json& line, const std::vector<RoutingStats>& routing) {
  if (routing.empty()) return;
  RoutingStats all;
  nlohmann::json layers = nlohmann::json::array();
  for (const RoutingStats& stats : routing) {
    all.tokens += stats.tokens;
    all.dropped += stats.dropped;
    all.entropy_sum += stats.entropy_sum;
    all.confidence_sum += stats.confidence_sum;
    const double tokens = std::max(stats.tokens, 1.0), calls = std::max(stats.calls, 1.0);
    std::vector<double> load = stats.load;
    for (double& share : load) share /= tokens;
    layers.push_back({{"layer", stats.layer},
                      {"load", load},
                      {"dropped_share", stats.dropped_share()},
                      {"entropy", stats.entropy_sum / tokens},
                      {"confidence", stats.confidence_sum / tokens},
                      {"balance", stats.balance / calls},
                      {"router_z", stats.router_z / calls}});
  }
  const double tokens = std::max(all.tokens, 1.0);
  line["dropped_share"] = all.dropped / tokens;
  line["router_entropy"] = all.entropy_sum / tokens;
  line["router_confidence"] = all.confidence_sum / tokens;
  line["layers"] = layers;
}

}  // namespace

void MetricsWindow::add(const StepResult& result) {
  ++steps;
  cross_entropy += result.cross_entropy;
  soft += result.soft;
  logit_z += result.logit_z;
  correct += result.correct;
  loss += result.loss;
  balance_loss += result.balance_loss;
  router_z_loss += result.router_z_loss;
  gradient_norm += result.gradient_norm;
  accumulate(routing, result.routing);
  accumulate(blocks, result.blocks);
}

nlohmann::json MetricsWindow::to_json() const {
  nlohmann::json layers = nlohmann::json::array();
  for (const RoutingStats& stats : routing) layers.push_back(exact_of(stats));
  nlohmann::json norms = nlohmann::json::array();
  for (const BlockNorms& block : blocks) norms.push_back(exact_of(block));
  return {{"steps", steps},
          {"skipped", skipped},
          {"read", {sequences, input_tokens, target_tokens}},
          {"cross_entropy", pair_of(cross_entropy)},
          {"soft", pair_of(soft)},
          {"logit_z", pair_of(logit_z)},
          {"correct", pair_of(correct)},
          {"sums", {loss, balance_loss, router_z_loss, gradient_norm, seconds, wait_seconds}},
          {"routing", layers},
          {"blocks", norms}};
}

MetricsWindow MetricsWindow::from_json(const nlohmann::json& object) {
  MetricsWindow window;
  window.steps = object.at("steps").get<int64_t>();
  window.cross_entropy = loss_sum_of(object.at("cross_entropy"));
  window.logit_z = loss_sum_of(object.at("logit_z"));
  window.correct = loss_sum_of(object.at("correct"));
  const auto sums = object.at("sums").get<std::vector<double>>();
  double* const fields[] = {&window.loss,          &window.balance_loss, &window.router_z_loss,
                            &window.gradient_norm, &window.seconds,      &window.wait_seconds};
  for (size_t i = 0; i < std::size(fields); ++i) *fields[i] = sums.at(i);
  for (const nlohmann::json& layer : object.at("routing")) {
    window.routing.push_back(routing_stats_of(layer));
  }
  // Checkpoints of earlier versions have none of these.
  window.skipped = object.value("skipped", int64_t{0});
  if (object.contains("soft")) window.soft = loss_sum_of(object["soft"]);
  const auto read = object.value("read", std::vector<int64_t>(3));
  window.sequences = read.at(0);
  window.input_tokens = read.at(1);
  window.target_tokens = read.at(2);
  for (const nlohmann::json& block : object.value("blocks", nlohmann::json::array())) {
    window.blocks.push_back(block_norms_of(block));
  }
  return window;
}

nlohmann::json MetricsWindow::metrics() const {
  if (steps == 0) return {{"skipped_updates", skipped}};  // nothing to take a mean of
  const auto count = static_cast<double>(steps);
  nlohmann::json line = {{"nlp", -cross_entropy.mean()}, {"accuracy", correct.mean()},
                         {"loss", loss / count},         {"gradient_norm", gradient_norm / count},
                         {"logit_z", logit_z.mean()},    {"skipped_updates", skipped}};
  if (soft.count > 0) line["soft_loss"] = soft.mean();
  if (!routing.empty()) {
    line["balance_loss"] = balance_loss / count;
    line["z_loss"] = router_z_loss / count;
  }
  add_routing(line, routing);
  if (!blocks.empty()) line["blocks"] = nlohmann::json::array();
  for (const BlockNorms& block : blocks) {
    line["blocks"].push_back({{"block", block.block},
                              {"gradient_norm", block.gradient / count},
                              {"update_norm", block.update / count}});
  }
  return line;
}

nlohmann::json metrics_of(const EvaluationResult& result) {
  nlohmann::json line = {{"nlp", result.nlp()},
                         {"accuracy", result.accuracy()},
                         {"targets", result.cross_entropy.count},
                         {"sequences", result.sequences}};
  add_routing(line, result.routing);
  return line;
}

nlohmann::json metrics_of(const RunEvaluation& evaluation) {
  nlohmann::json line = metrics_of(evaluation.all);
  for (const TaskScores& task : evaluation.tasks) {
    nlohmann::json& own = line["tasks"][task.name];
    for (const auto& [name, value] : task.numbers) own[name] = value;
    for (const auto& [source, result] : evaluation.by_source) {
      if (source == task.name) own["nlp"] = result.nlp();
    }
  }
  const auto is_task = [&](const std::string& source) {
    return std::any_of(evaluation.tasks.begin(), evaluation.tasks.end(),
                       [&](const TaskScores& task) { return task.name == source; });
  };
  const auto prepared = std::count_if(evaluation.by_source.begin(), evaluation.by_source.end(),
                                      [&](const auto& source) { return !is_task(source.first); });
  for (const auto& [source, result] : evaluation.by_source) {
    if (prepared > 1 && !is_task(source)) line["nlp_by_data"][source] = result.nlp();
  }
  if (!evaluation.tasks.empty()) line["quality"] = evaluation.quality;
  return line;
}

}  // namespace switchyard
