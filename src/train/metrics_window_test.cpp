#include "train/metrics_window.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace switchyard {
namespace {

StepResult step_result(double seed) {
  StepResult result;
  result.cross_entropy = {seed / 3, 7};
  result.logit_z = {seed * 1e-17, 7};
  result.correct = {2, 7};
  result.loss = seed / 7;
  result.balance_loss = 0.1 * seed;
  result.router_z_loss = 0.3;
  result.gradient_norm = 1 / seed;
  RoutingStats layer;
  layer.layer = "encoder.1";
  layer.tokens = 10;
  layer.dropped = 1;
  layer.entropy_sum = 5;
  layer.confidence_sum = 8;
  layer.balance = 1.25;
  layer.router_z = 3;
  layer.calls = 1;
  layer.load = {6, 3, 1};
  result.routing = {layer};
  return result;
}

TEST(MetricsWindow, MeansOverSteps) {
  MetricsWindow window;
  window.add(step_result(21));
  window.add(step_result(42));
  const nlohmann::json line = window.metrics();
  EXPECT_DOUBLE_EQ(line["nlp"].get<double>(), -(7.0 + 14.0) / 14);
  EXPECT_DOUBLE_EQ(line["loss"].get<double>(), (3.0 + 6.0) / 2);
  EXPECT_DOUBLE_EQ(line["accuracy"].get<double>(), 4.0 / 14);
  EXPECT_DOUBLE_EQ(line["dropped_share"].get<double>(), 0.1);
  EXPECT_DOUBLE_EQ(line["router_entropy"].get<double>(), 0.5);
  EXPECT_DOUBLE_EQ(line["router_confidence"].get<double>(), 0.8);
  EXPECT_DOUBLE_EQ(line["z_loss"].get<double>(), 0.3);
  const nlohmann::json& layer = line["layers"][0];
  EXPECT_DOUBLE_EQ(layer["balance"].get<double>(), 1.25);
  EXPECT_EQ(layer["load"].get<std::vector<double>>(), (std::vector<double>{0.6, 0.3, 0.1}));
}

TEST(MetricsWindow, DenseModelHasNoRouters) {
  MetricsWindow window;
  StepResult dense = step_result(1);
  dense.routing.clear();
  window.add(dense);
  EXPECT_FALSE(window.metrics().contains("balance_loss"));
  EXPECT_FALSE(window.metrics().contains("layers"));
}

TEST(MetricsWindow, SurvivesACheckpointExactly) {
  MetricsWindow window;
  window.add(step_result(1.0 / 3));
  window.seconds = 0.1;
  window.wait_seconds = 1e-300;
  MetricsWindow again = MetricsWindow::from_json(nlohmann::json::parse(window.to_json().dump()));
  EXPECT_EQ(again.to_json(), window.to_json());
  window.add(step_result(5));
  again.add(step_result(5));
  EXPECT_EQ(again.metrics(), window.metrics());
}

TEST(MetricsOfEvaluation, TellSourcesWhereThereAreSeveral) {
  RunEvaluation evaluation;
  EvaluationResult de, sw;
  de.cross_entropy = {30, 10};
  sw.cross_entropy = {50, 10};
  evaluation.all += de;
  evaluation.by_source = {{"de", de}};
  EXPECT_FALSE(metrics_of(evaluation).contains("nlp_by_data"));
  evaluation.all += sw;
  evaluation.by_source.emplace_back("sw", sw);
  const nlohmann::json line = metrics_of(evaluation);
  EXPECT_EQ(line["nlp"], -4.0);
  EXPECT_EQ(line["nlp_by_data"], nlohmann::json({{"de", -3.0}, {"sw", -5.0}}));
}

}  // namespace
}  // namespace switchyard
