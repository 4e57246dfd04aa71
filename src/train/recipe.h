// Recipe: everything that decides a run, one struct per section of the TOML file. The field lists
// drive reading, `--set section.key=value`, checks, `train --print-recipe` and the recipe.toml that
// a run directory keeps.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/field_list.h"
#include "data/config.h"
#include "model/config.h"
#include "train/health/config.h"

namespace switchyard {

/// What the model learns.
struct ObjectiveConfig {
  std::string kind = "span_corruption";  // or "seq2seq", "distill"
  double logit_z_loss = 0.0;             // factor of the vocabulary's (log Z)^2
  // distill
  std::string teacher;                 // model directory or run
  double soft_weight = 0.25;           // of the teacher's probabilities; the rest is the targets'
  double temperature = 1.0;            // of both sides' softmax in the soft part
  std::string student_start = "none";  // what of the teacher's weights the student begins with

  void list_fields(FieldList& fields);
};

/// How weights move. Defaults are T5's: Adafactor, no momentum, no decay.
struct OptimizerConfig {
  std::string kind = "adafactor";  // or "adamw"
  double learning_rate = 0.01;     // peak of the schedule
  std::string schedule =
      "inverse_sqrt";  // constant, linear, cosine, inverse_sqrt (train/schedule.h)
  int64_t warmup_steps = 1000;
  bool inverse_sqrt_ramp = false;  // inverse_sqrt: rise from 0 in the warm-up; false: T5's plateau
  double final_rate_factor = 0.0;  // linear, cosine: share of learning_rate at the end
  int64_t decay_steps = 0;         // linear, cosine: step of the end; 0: train.steps
  double clip_norm = 0.0;          // global gradient norm at most; 0: not clipped
  double weight_decay = 0.0;       // decoupled, times the scheduled rate; matrices only
  // AdamW
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  // Adafactor
  double decay_exponent = 0.8;     // beta2 of step t is 1 - t^-decay_exponent
  int64_t min_dim_factored = 128;  // both axes at least this long: row and column means are kept
  double clip_threshold = 1.0;     // root mean square of a matrix's update at most, before the rate
  bool scale_parameter = true;     // the rate is relative to a matrix's root mean square
  double momentum = 0.0;           // weight of the old mean of steps; 0: none, no memory for it

  void list_fields(FieldList& fields);
};

/// Length, batches and bookkeeping of a run.
struct TrainConfig {
  int64_t steps = 2000;
  int64_t batch_sequences = 64;       // global
  int64_t micro_batch_sequences = 0;  // sequences of one forward pass; 0: the whole batch
  bool recompute = false;             // a block's forward pass runs again in backward
  std::string precision = "bf16-selective";
  int64_t seed = 1;
  int64_t log_every = 10;              // steps
  int64_t evaluate_every = 250;        // steps; 0: at the end only
  bool evaluate_start = false;         // and before the first step
  int64_t evaluate_sequences = 256;    // the first ones of the validation stream
  int64_t checkpoint_every = 500;      // steps; 0: at the end only
  int64_t keep_checkpoints = 3;        // newest ones; 0: all
  int64_t keep_every = 0;              // besides them those of every n-th step; 0: none
  int64_t keep_best = 0;               // and the best by held-out NLP
  double checkpoint_copy_share = 0.1;  // of a checkpoint, copied so as not to wait for the disk
  double checkpoint_shard_gb = 5.0;    // 10^9 bytes of a file of weights or optimizer state
  double max_minutes = 0.0;            // of this process; 0: no limit. Saves, then ends well
  bool tensorboard = true;
  std::string start_from;   // model directory or run whose weights the run begins with
  std::string freeze;       // parameters that stay as they are (train/freezing.h)
  std::string best_metric;  // what "best" means to keep_best; empty: see docs/finetuning.md

  void list_fields(FieldList& fields);
  int64_t micro_batch() const {
    return micro_batch_sequences > 0 ? micro_batch_sequences : batch_sequences;
  }
};

/// A task to fine-tune or to be evaluated on, [tasks.NAME] of a recipe.
struct TaskEntry {
  std::string task;          // name or file of the task; empty: NAME
  std::string train;         // file in the task's layout; empty: only evaluated
  std::string validation;    // the same; empty: only trained on
  double weight = -1;        // share in the mixture; -1: what the task's file says
  int64_t max_examples = 0;  // more do not count in the share; 0: what the task's file says

  void list_fields(FieldList& fields);
};

/// Ranks along each axis of the mesh (comm/mesh.h).
struct MeshConfig {
  int64_t data = 1;
  int64_t expert = 1;
  int64_t model = 1;
  int64_t exchange_chunks = 1;
  bool background = false;
  bool share_optimizer = false;
  double wait_seconds = 300;
  double alone_seconds = 3600;

  int64_t size() const { return data * expert * model; }

  void list_fields(FieldList& fields);
};

struct Recipe {
  ModelConfig model;
  DataConfig data;
  ObjectiveConfig objective;
  OptimizerConfig optimizer;
  TrainConfig train;
  HealthConfig health;
  MeshConfig mesh;
  std::map<std::string, TaskEntry> tasks;

  /// All keys; of [tasks] those of the entries that are there.
  void list_fields(FieldList& fields);
  /// Applies "section.key=value" in order, then validates. Throws Error(kUsage).
  void apply(const std::vector<std::string>& overrides);
  /// Complete TOML, with each key's help as a comment if `with_help`.
  std::string to_toml(bool with_help = false) const;
  /// Checks what single ranges cannot: sizes that must divide one another, parts not there yet.
  /// `where` names the recipe in errors. Throws Error(kUsage).
  void validate(const std::string& where) const;
  /// Makes entries of tasks that another recipe has, so that both list the same fields.
  void add_tasks_of(const Recipe& other);
};

/// Reads the recipe at `path` ("": defaults), applies `overrides` ("section.key=value") in order
/// and validates the result. What neither says is as the fields' defaults, except
///  * [model] with train.start_from: as that model, and what decides shapes must be;
///  * [model] with objective.teacher: a dense model of the teacher's shape;
///  * [optimizer] of seq2seq: T5's for fine-tuning, a constant rate of 0.001.
/// Throws Error(kUsage) naming file, line, key and the nearest known key.
/// `run_directory`: of a run that may go on: if it holds one, [model] is that run's where it would
/// be another model's.
Recipe load_recipe(const std::string& path, const std::vector<std::string>& overrides = {},
                   const std::string& run_directory = {});

/// Reads the complete recipe of a run, whose models need not be there any more. Throws the same.
Recipe load_run_recipe(const std::string& path);

}  // namespace switchyard
