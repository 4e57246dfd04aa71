#include "report/run_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/progress.h"
#include "data/span_corruption.h"
#include "model/counts.h"
#include "train/metrics_log.h"
#include "train/specialization.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kHeatCells = 600'000;  // of all runs together: about 1.2 MB of the page
constexpr size_t kMaxHeatColumns = 160;
constexpr size_t kMaxLayers = 256;  // a sound run has fewer: guards against hostile files
constexpr size_t kMaxExperts = 65536;
constexpr size_t kMaxSources = 4096;
constexpr size_t kMaxTokens = 64;  // of an expert

double number(const json& object, std::string_view key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : kNaN;
}

std::string text(const json& object, std::string_view key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  if (found->is_string()) return found->get<std::string>();
  return found->dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Collects a layer's loads into at most `columns` means of neighbouring lines.
class LoadMean {
 public:
  LoadMean(std::string layer, size_t experts) {
    result_.layer = std::move(layer);
    result_.experts = experts;
    sums_.assign(experts, 0.0);
  }

  void add(size_t group, double step, const json& load) {
    if (load.size() != result_.experts) return;
    if (group != group_) finish();
    group_ = group;
    for (size_t e = 0; e < result_.experts; ++e) {
      sums_[e] += load[e].is_number() ? load[e].get<double>() : 0.0;
    }
    step_ = step;
    ++count_;
  }

  LayerLoad take() {
    finish();
    return std::move(result_);
  }

 private:
  void finish() {
    if (count_ == 0) return;
    for (double& sum : sums_) sum /= static_cast<double>(count_);
    result_.steps.push_back(step_);
    result_.load.push_back(std::exchange(sums_, std::vector<double>(result_.experts, 0.0)));
    count_ = 0;
  }

  LayerLoad result_;
  std::vector<double> sums_;
  size_t group_ = 0, count_ = 0;
  double step_ = 0;
};

bool is_layer(const json& layer) {
  return layer.is_object() && layer.contains("layer") && layer["layer"].is_string() &&
         layer.contains("load") && layer["load"].is_array() && !layer["load"].empty() &&
         layer["load"].size() <= kMaxExperts;
}

bool has_layers(const json& line) {
  return line["kind"] == "train" && line.contains("layers") && line["layers"].is_array() &&
         !line["layers"].empty() && line["layers"].size() <= kMaxLayers;
}

std::vector<LayerLoad> read_layers(const std::vector<json>& lines, size_t heat_cells) {
  size_t count = 0, cells = 1;  // lines with layers, experts of all layers of one line
  for (const json& line : lines) {
    if (!has_layers(line)) continue;
    if (count++ > 0) continue;
    for (const json& layer : line["layers"]) cells += is_layer(layer) ? layer["load"].size() : 0;
  }
  const size_t columns = std::clamp<size_t>(heat_cells / cells, 8, kMaxHeatColumns);
  std::vector<std::string> order;
  std::map<std::string, LoadMean> means;
  size_t at = 0;
  for (const json& line : lines) {
    if (!has_layers(line)) continue;
    const size_t group = count <= columns ? at : at * columns / count;
    ++at;
    for (const json& layer : line["layers"]) {
      if (!is_layer(layer)) continue;
      const auto name = layer["layer"].get<std::string>();
      auto [mean, is_new] = means.try_emplace(name, name, layer["load"].size());
      if (is_new) order.push_back(name);
      mean->second.add(group, line["step"].get<double>(), layer["load"]);
    }
  }
  std::vector<LayerLoad> layers;
  layers.reserve(order.size());
  for (const std::string& name : order) layers.push_back(means.at(name).take());
  return layers;
}

void keep_best_tasks(const json& line, RunData& run) {
  const json tasks = line.value("tasks", json::object());
  if (!tasks.is_object()) return;
  for (const auto& [task, numbers] : tasks.items()) {
    if (!numbers.is_object()) continue;
    for (const auto& [name, value] : numbers.items()) {
      if (!value.is_number()) continue;
      const auto [best, is_new] = run.best_tasks.emplace(task + " " + name, value.get<double>());
      if (!is_new) best->second = std::max(best->second, value.get<double>());
    }
  }
}

// Adds what an evaluation says of its sources.
void read_sources(const json& line, const EvalPoint& all,
                  std::map<std::string, SourceCurve>& curves) {
  const auto found = line.find("nlp_by_data");
  if (found == line.end() || !found->is_object() || found->size() > kMaxSources) return;
  for (const auto& [name, nlp] : found->items()) {
    EvalPoint point = all;
    point.nlp = number(*found, name);
    point.accuracy = point.targets = kNaN;
    curves.try_emplace(name, SourceCurve{name, {}}).first->second.evaluations.push_back(point);
  }
}

void read_lines(const std::vector<json>& lines, RunData& run) {
  std::map<std::string, SourceCurve> sources;
  int64_t out_of_order = 0;
  double last_train = -1, last_eval = -1;
  const auto rises = [&](double step, double& last) {
    if (step > last) {
      last = step;
      return true;
    }
    ++out_of_order;
    return false;
  };
  for (const json& line : lines) {
    const double step = line["step"].get<double>();
    if (line["kind"] == "event") run.last_event = text(line, "event");
    if (line["kind"] == "eval" && rises(step, last_eval)) {
      run.evaluations.push_back({step, number(line, "tokens"), number(line, "seconds"),
                                 number(line, "nlp"), number(line, "accuracy"),
                                 number(line, "targets")});
      keep_best_tasks(line, run);
      read_sources(line, run.evaluations.back(), sources);
    }
    if (line["kind"] == "train" && rises(step, last_train)) {
      for (size_t c = 0; c < TrainColumns::kKeys.size(); ++c) {
        run.train.columns[c].push_back(number(line, TrainColumns::kKeys[c]));
      }
    }
  }
  for (auto& [name, curve] : sources) run.sources.push_back(std::move(curve));
  if (out_of_order > 0) {
    run.warnings.push_back(
        format("{} lines of metrics.jsonl whose step does not rise are left out", out_of_order));
  }
}

void read_metrics_of(RunData& run, size_t heat_cells) {
  const MetricsLines metrics = read_metrics(run.path + "/metrics.jsonl");
  run.torn = metrics.torn;
  if (metrics.damaged > 0) {
    run.warnings.push_back(
        format("{} damaged lines of metrics.jsonl are left out", metrics.damaged));
  }
  read_lines(metrics.lines, run);
  run.layers = read_layers(metrics.lines, heat_cells);
  const auto finite = [](const EvalPoint& point) { return std::isfinite(point.nlp); };
  if (std::none_of(run.evaluations.begin(), run.evaluations.end(), finite)) {
    run.warnings.push_back("no evaluation on held-out data yet");
  }
}

// [id, piece, share, share of the id], of which the piece may be empty.
TellingToken read_token(const json& token) {
  if (!token.is_array() || token.size() != 4 || !token[0].is_number_integer() ||
      !token[1].is_string()) {
    return {};
  }
  const auto number_at = [&](size_t i) {
    return token[i].is_number() ? token[i].get<double>() : 0;
  };
  const std::string piece = token[1].get<std::string>();
  return {piece.empty() ? token[0].dump() : piece, number_at(2), number_at(3)};
}

void read_layer_tokens(const json& layer, RunData& run) {
  if (!layer.contains("expert_tokens") || !layer["expert_tokens"].is_array()) return;
  if (layer["expert_tokens"].empty() || layer["expert_tokens"].size() > kMaxExperts) return;
  LayerTokens& own = run.layer_tokens.emplace_back(LayerTokens{text(layer, "layer"), {}});
  for (const json& expert : layer["expert_tokens"]) {
    std::vector<TellingToken>& tokens = own.experts.emplace_back();
    if (!expert.is_array()) continue;
    for (const json& token : expert) {
      TellingToken one = read_token(token);
      if (!one.piece.empty() && tokens.size() < kMaxTokens) tokens.push_back(std::move(one));
    }
  }
}

void read_specialization(RunData& run) {
  const std::string path = run.path + "/" + kSpecializationFile;
  if (!fs::exists(path)) return;
  const json object = json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  const json* const layers =
      object.is_object() && object.contains("layers") ? &object["layers"] : nullptr;
  if (!layers || !layers->is_array() || layers->size() > kMaxLayers) {
    run.warnings.push_back(
        "specialization.json is damaged: which data and tokens experts get is not known");
    return;
  }
  for (const json& layer : *layers) {
    if (!layer.is_object()) continue;
    read_layer_tokens(layer, run);
    if (!layer.contains("sources") || !layer["sources"].is_object()) continue;
    if (layer["sources"].size() > kMaxSources) continue;
    for (const auto& [name, source] : layer["sources"].items()) {
      if (!source.is_object() || !source.contains("load") || !source["load"].is_array()) continue;
      SourceLoad load{text(layer, "layer"), name, {}};
      for (const json& share : source["load"]) {
        load.load.push_back(share.is_number() ? share.get<double>() : 0.0);
      }
      if (!load.load.empty() && load.load.size() <= kMaxExperts) {
        run.source_loads.push_back(std::move(load));
      }
    }
  }
}

// What the recipe says, for a run without run.json.
void count_by_recipe(RunData& run) {
  const DataConfig& data = run.recipe.data;
  const SpanLengths lengths =
      span_lengths(data.input_length, data.noise_density, data.mean_span_length);
  run.parameters = static_cast<double>(count_parameters(run.recipe.model));
  run.forward_flops = forward_flops(run.recipe.model, lengths.inputs, lengths.targets);
}

std::string describe_machine(const json& info) {
  const json machine = info.value("machine", json::object());
  if (!machine.is_object() || text(machine, "processor").empty()) return {};
  const std::string threads = text(info, "threads");
  return format("{}, {} {}", text(machine, "processor"), threads,
                threads == "1" ? "thread" : "threads");
}

void read_facts(const json& info, RunData& run) {
  const auto add = [&](const char* label, const std::string& value) {
    if (!value.empty()) run.facts.emplace_back(label, value);
  };
  const json none = json::object();
  const json& machine =
      info.contains("machine") && info["machine"].is_object() ? info["machine"] : none;
  const json& data = info.contains("data") && info["data"].is_object() ? info["data"] : none;
  add("version", text(info, "version"));
  add("started or continued", text(info, "time"));
  add("processor", text(machine, "processor"));
  add("cores", text(machine, "cores"));
  if (std::isfinite(number(machine, "memory"))) {
    add("memory", format_bytes(number(machine, "memory")));
  }
  add("threads", text(info, "threads"));
  add("precision", text(info, "precision"));
  if (std::isfinite(number(info, "gemm_rate"))) {
    add("GEMM rate", format("{:.3f} TFLOP/s", number(info, "gemm_rate") * 1e-12));
  }
  add("input / target length",
      format("{} / {} tokens", text(info, "input_length"), text(info, "target_length")));
  add("vocabulary", text(data, "vocab_size"));
  run.tokenizer = text(data, "tokenizer");
  run.fingerprint = text(data, "fingerprint");
  add("tokenizer", run.tokenizer);
  add("training data", run.fingerprint);
}

void read_info(RunData& run) {
  const std::string path = run.path + "/run.json";
  count_by_recipe(run);
  if (!fs::exists(path)) {
    run.warnings.push_back("no run.json: machine and data are not known");
    return;
  }
  const json info = json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!info.is_object()) {
    run.warnings.push_back("run.json is damaged: machine and data are not known");
    return;
  }
  if (number(info, "parameters") > 0) run.parameters = number(info, "parameters");
  if (number(info, "forward_flops_per_sequence") > 0) {
    run.forward_flops = number(info, "forward_flops_per_sequence");
  }
  run.machine = describe_machine(info);
  read_facts(info, run);
}

// The last `parts` parts of a path.
std::string tail(const std::string& path, int parts) {
  fs::path rest = fs::absolute(path).lexically_normal();
  if (rest.filename().empty()) rest = rest.parent_path();
  fs::path name = rest.filename();
  for (int i = 1; i < parts && rest.has_parent_path(); ++i) {
    rest = rest.parent_path();
    name = rest.filename() / name;
  }
  return name.string();
}

}  // namespace

const std::vector<double>& TrainColumns::operator[](std::string_view key) const {
  const auto found = std::find(kKeys.begin(), kKeys.end(), key);
  return columns.at(static_cast<size_t>(found - kKeys.begin()));
}

RunData load_run(const std::string& path, size_t heat_cells) {
  if (!fs::is_directory(path)) throw usage_error("no such directory", path, "name a run directory");
  if (!fs::exists(path + "/recipe.toml")) {
    throw usage_error("the directory holds no run (recipe.toml)", path,
                      "name a directory that `switchyard train --run-dir` made");
  }
  RunData run;
  run.path = path;
  run.name = tail(path, 1);
  run.recipe = load_run_recipe(path + "/recipe.toml");
  read_info(run);
  read_metrics_of(run, heat_cells);
  read_specialization(run);
  return run;
}

std::vector<RunData> load_runs(const std::vector<std::string>& paths) {
  std::vector<RunData> runs;
  for (const std::string& path : paths) {
    runs.push_back(load_run(path, kHeatCells / paths.size()));
    const auto same = [&](const RunData& other) {
      return &other != &runs.back() && fs::equivalent(other.path, path);
    };
    if (std::any_of(runs.begin(), runs.end(), same)) {
      throw usage_error("the run is named twice", path, "name each run once");
    }
  }
  for (RunData& run : runs) {  // so that all recipes list the same keys
    for (const RunData& other : runs) run.recipe.add_tasks_of(other.recipe);
  }
  constexpr int kMaxParts = 16;
  for (int parts = 2; parts <= kMaxParts; ++parts) {
    std::map<std::string, int> count;
    for (const RunData& run : runs) ++count[run.name];
    for (RunData& run : runs) {
      if (count[run.name] > 1) run.name = tail(run.path, parts);
    }
  }
  return runs;
}

}  // namespace switchyard
