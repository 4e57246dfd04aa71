#include "train/run_reporter.h"

#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "base/log.h"
#include "base/threads.h"

namespace switchyard {
namespace {

constexpr auto kLogPause = std::chrono::seconds(10);  // between lines of a log that nobody watches
constexpr double kManyDropped = 0.1;  // share of held-out tokens that is worth a warning

std::string describe(const Throughput& throughput) {
  return format("{} tokens/s  {:.0f} % of GEMM",
                format_count(static_cast<long long>(throughput.tokens_per_second)),
                100 * throughput.gemm_share);
}

std::string describe(const Scores& numbers) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : numbers) parts.push_back(format("{} {:.2f}", name, value));
  return format("{}", fmt::join(parts, "  "));
}

// The numbers of one line of metrics as `kind/name`, those of a router as `kind/router/name/layer`.
void write_events(TensorBoardWriter& writer, const std::string& kind, int64_t step,
                  const nlohmann::json& values) {
  for (const auto& [key, value] : values.items()) {
    if (value.is_number()) writer.scalar(kind + "/" + key, step, value.get<double>());
  }
  const nlohmann::json tasks = values.value("tasks", nlohmann::json::object());
  for (const auto& [task, numbers] : tasks.items()) {
    for (const auto& [key, value] : numbers.items()) {
      if (value.is_number()) {
        writer.scalar(format("{}/task/{}/{}", kind, task, key), step, value.get<double>());
      }
    }
  }
  const nlohmann::json sources = values.value("nlp_by_data", nlohmann::json::object());
  for (const auto& [name, nlp] : sources.items()) {
    writer.scalar(format("{}/nlp_by_data/{}", kind, name), step, nlp.get<double>());
  }
  for (const nlohmann::json& block : values.value("blocks", nlohmann::json::array())) {
    const std::string name = block["block"].get<std::string>();
    for (const char* key : {"gradient_norm", "update_norm"}) {
      writer.scalar(format("{}/block/{}/{}", kind, key, name), step, block[key].get<double>());
    }
  }
  for (const nlohmann::json& layer : values.value("layers", nlohmann::json::array())) {
    const std::string name = layer["layer"].get<std::string>();
    for (const auto& [key, value] : layer.items()) {
      const std::string tag = format("{}/router/{}/{}", kind, key, name);
      if (value.is_number()) writer.scalar(tag, step, value.get<double>());
      if (value.is_array()) writer.histogram(tag, step, value.get<std::vector<double>>());
    }
  }
}

}  // namespace

RunReporter::RunReporter(const RunDirectory& run, const Recipe& recipe, int64_t step)
    : total_steps_(recipe.train.steps), start_(std::chrono::steady_clock::now()) {
  if (!run.is_owned()) return;
  metrics_.emplace(run.metrics_path());
  if (recipe.train.tensorboard)
    tensorboard_.emplace(run.tensorboard_path(), step > 0 ? step + 1 : 0);
}

void RunReporter::sync() {
  if (metrics_) metrics_->sync();
  if (tensorboard_) tensorboard_->sync();
}

void RunReporter::write(const TrainPosition& position, const char* kind,
                        const nlohmann::json& values) {
  if (!metrics_) return;
  nlohmann::ordered_json line = {{"kind", kind},
                                 {"step", position.step},
                                 {"tokens", position.tokens},
                                 {"seconds", position.seconds}};
  for (const auto& [key, value] : values.items()) line[key] = value;
  metrics_->write(line);
  const bool event = kind == std::string_view("event");
  if (tensorboard_ && !event) write_events(*tensorboard_, kind, position.step, values);
}

void RunReporter::train(const TrainPosition& position, double learning_rate,
                        const Throughput& throughput) {
  const MetricsWindow& window = position.window;
  throughput_ = throughput;
  nlohmann::json values = window.metrics();
  values["learning_rate"] = learning_rate;
  values["tokens_per_second"] = throughput.tokens_per_second;
  values["gemm_share"] = throughput.gemm_share;
  values["loader_share"] = window.seconds > 0 ? window.wait_seconds / window.seconds : 0.0;
  values["peak_memory"] = peak_memory();
  write(position, "train", values);

  const auto now = std::chrono::steady_clock::now();
  if (line_.visible() || (now - last_log_ < kLogPause && position.step != total_steps_)) return;
  last_log_ = now;
  log_info("step {}/{}  loss {:.4f}  {}  left {}", position.step, total_steps_,
           values.value("loss", std::nan("")), describe(throughput),
           format_duration(seconds_left(position)));
}

void RunReporter::evaluation(const TrainPosition& position, const RunEvaluation& evaluation) {
  const EvaluationResult& result = evaluation.all;
  write(position, "eval", metrics_of(evaluation));
  line_.clear();
  warn_of_dropped(evaluation);
  log_info("step {}/{}  held-out NLP {:.4f}  accuracy {:.2f} %  ({} sequences in {})",
           position.step, total_steps_, result.nlp(), 100 * result.accuracy(), result.sequences,
           format_duration(result.seconds));
  for (const TaskScores& task : evaluation.tasks) {
    log_info("step {}/{}  {}  {}  ({} answers in {})", position.step, total_steps_, task.name,
             describe(task.numbers), task.examples, format_duration(task.seconds));
  }
}

// Held-out data can be more even than training batches, as one language alone: its experts
// overflow.
void RunReporter::warn_of_dropped(const RunEvaluation& evaluation) {
  if (warned_of_dropped_) return;
  double worst = kManyDropped;
  std::string where;
  for (const auto& [name, result] : evaluation.by_source) {
    double tokens = 0, dropped = 0;
    for (const RoutingStats& stats : result.routing) {
      tokens += stats.tokens;
      dropped += stats.dropped;
    }
    if (dropped <= worst * tokens) continue;
    worst = dropped / tokens;
    where = name;
  }
  if (where.empty()) return;
  warned_of_dropped_ = true;
  log_warning(
      "held-out {}: {:.0f} % of the routed tokens had no room in their expert, which costs "
      "quality; "
      "raise model.moe.capacity_factor_eval (the number of experts leaves room for all)",
      where, 100 * worst);
}

void RunReporter::event(const TrainPosition& position, const std::string& name,
                        nlohmann::json values) {
  values["event"] = name;
  write(position, "event", values);
}

double RunReporter::seconds_left(const TrainPosition& position) const {
  const double gone =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const auto done = static_cast<double>(position.step - first_step_);
  return done > 0 ? gone / done * static_cast<double>(total_steps_ - position.step) : 0.0;
}

void RunReporter::progress(const TrainPosition& position, double loss) {
  if (first_step_ < 0) first_step_ = position.step - 1;
  if (!line_.visible()) return;
  line_.show(format("step {}/{}  loss {:.3f}  {}  left {}", position.step, total_steps_, loss,
                    describe(throughput_), format_duration(seconds_left(position))));
}

}  // namespace switchyard
