// What a report reads from one run directory (docs/formats.md, "Run directory").
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/recipe.h"

namespace switchyard {

/// One evaluation on held-out data. `nlp`: negative log perplexity, nats per target; NaN where the
/// file says null. `seconds`: of training steps until here.
struct EvalPoint {
  double step = 0, tokens = 0, seconds = 0, nlp = 0, accuracy = 0, targets = 0;
};

/// Evaluations on one of several sources of held-out data, a language say; ascending steps.
struct SourceCurve {
  std::string name;
  std::vector<EvalPoint> evaluations;  // accuracy and targets are NaN
};

/// What share of a source's tokens each expert of a layer gets.
struct SourceLoad {
  std::string layer, source;
  std::vector<double> load;
};

/// A token that tells of an expert: its `share` of the tokens that choose the expert, and which
/// share of its own occurrences those are.
struct TellingToken {
  std::string piece;
  double share = 0, of_id = 0;
};

/// Of one routed layer, expert by expert.
struct LayerTokens {
  std::string layer;
  std::vector<std::vector<TellingToken>> experts;
};

/// The `train` lines as columns of equal length; NaN where a line has no such number.
struct TrainColumns {
  static constexpr std::array<std::string_view, 12> kKeys = {
      "step",       "tokens",        "seconds",        "nlp",
      "loss",       "learning_rate", "gradient_norm",  "tokens_per_second",
      "gemm_share", "dropped_share", "router_entropy", "router_confidence"};

  std::array<std::vector<double>, kKeys.size()> columns;

  size_t rows() const { return columns.front().size(); }
  /// `key` is one of kKeys.
  const std::vector<double>& operator[](std::string_view key) const;
};

/// Load of each expert of one routed layer over time: means over groups of neighbouring lines.
struct LayerLoad {
  std::string layer;
  size_t experts = 0;
  std::vector<double> steps;              // of the last line of each group
  std::vector<std::vector<double>> load;  // [groups][experts]; shares, 1 / experts is even
};

struct RunData {
  std::string name;  // last part of the path, longer where two runs would share it
  std::string path;
  Recipe recipe;
  double parameters = 0;
  double forward_flops = 0;                                // per sequence
  std::string tokenizer;                                   // hash; empty: not known
  std::string fingerprint;                                 // of the training data; empty: not known
  std::string machine;                                     // processor, threads; empty: not known
  std::vector<std::pair<std::string, std::string>> facts;  // run.json as label and text
  std::vector<EvalPoint> evaluations;                      // ascending steps
  std::vector<SourceCurve> sources;                        // by name; none where there is one
  std::map<std::string, double> best_tasks;  // "boolq accuracy": the highest over evaluations
  TrainColumns train;                        // ascending steps
  std::vector<LayerLoad> layers;
  std::vector<SourceLoad> source_loads;   // of the last evaluation; layer by layer
  std::vector<LayerTokens> layer_tokens;  // of the same
  std::string last_event;                 // "finished"; empty: none
  bool torn = false;  // the last line of metrics is incomplete: cut off, or being written
  std::vector<std::string> warnings;  // what could not be read

  bool dense() const { return recipe.model.moe.num_experts == 0; }
};

/// Reads a run, also one that is being written. `heat_cells`: groups x experts x layers at most.
/// Damaged lines are skipped, counted and told in `warnings`. Throws Error(kUsage) if `path` holds
/// no run or its recipe does not read.
RunData load_run(const std::string& path, size_t heat_cells);

/// Reads all of them, giving each a name of its own. Throws as load_run().
std::vector<RunData> load_runs(const std::vector<std::string>& paths);

}  // namespace switchyard
