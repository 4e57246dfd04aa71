#include "train/recipe.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "model/moe/profile.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxSteps = int64_t{1} << 40;
constexpr int64_t kMaxSequences = int64_t{1} << 30;

void set_all(FieldList& fields, const std::vector<std::string>& assignments) {
  for (const std::string& assignment : assignments) fields.set(assignment);
}

void check_batches(const Recipe& recipe, const std::string& where) {
  const int64_t batch = recipe.train.batch_sequences;
  const int64_t micro = recipe.train.micro_batch();
  if (micro > batch || batch % micro != 0) {
    throw usage_error(format("train.micro_batch_sequences = {} does not divide "
                             "train.batch_sequences = {}",
                             micro, batch),
                      where, "give a divisor of the batch, or 0 for the whole batch");
  }
  const int64_t group = routing_rules(recipe.model.moe).group_sequences;
  const bool one_group = micro == batch && batch <= group;
  if (recipe.model.moe.num_experts > 0 && !one_group && micro % group != 0) {
    throw usage_error(
        format("model.moe.group_sequences = {} does not divide the {} sequences of {}", group,
               micro, micro == batch ? "train.batch_sequences" : "train.micro_batch_sequences"),
        where, "a routing group is a fixed slice of the batch: give a divisor");
  }
}

void warn_precision(const Recipe& recipe) {
  if (recipe.model.moe.num_experts > 0 && recipe.model.moe.attention_experts != "none" &&
      recipe.train.precision != "fp32") {
    log_warning(
        "train.precision = \"{}\" with model.moe.attention_experts: it diverged in the paper "
        "(appendix A); fp32 did not",
        recipe.train.precision);
  }
}

bool is_name(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
}

void check_tasks(const Recipe& recipe, const std::string& where) {
  const std::string& kind = recipe.objective.kind;
  bool trained = false;
  for (const auto& [name, entry] : recipe.tasks) {
    if (!is_name(name)) {
      throw usage_error(format("'{}' is no name for a task", name), where,
                        "letters, digits, _ and - name tasks, and files of predictions");
    }
    trained |= !entry.train.empty();
    if (entry.weight <= 0 && entry.weight != -1) {
      throw usage_error(format("tasks.{}.weight = {}", name, entry.weight), where,
                        "give a share above 0, or -1 for what the task's file says");
    }
    if (!entry.validation.empty() && recipe.train.precision == "bf16") {
      throw usage_error(
          format("tasks.{}.validation is decoded, which precision = \"bf16\" cannot", name), where,
          "use train.precision = \"bf16-selective\" or \"fp32\"");
    }
  }
  if (kind == "seq2seq" && !trained) {
    throw usage_error("objective.kind = \"seq2seq\" without a task to train on", where,
                      "add [tasks.NAME] with train = \"FILE\" (docs/finetuning.md)");
  }
  if (kind == "span_corruption" && trained) {
    throw usage_error("objective.kind = \"span_corruption\" does not train on tasks", where,
                      "set objective.kind to \"seq2seq\"");
  }
  if (trained && !recipe.data.train.empty()) {
    throw usage_error("both data.train and tasks to train on", where, "give one of them");
  }
  if (!recipe.data.tokenizer.empty() && !recipe.data.train.empty()) {
    throw usage_error("data.tokenizer with data.train, which has a tokenizer of its own", where,
                      "leave data.tokenizer out");
  }
}

void check_distillation(const Recipe& recipe, const std::string& where) {
  const ObjectiveConfig& objective = recipe.objective;
  if (objective.student_start != "none" &&
      (objective.kind != "distill" || !recipe.train.start_from.empty())) {
    throw usage_error(
        format("objective.student_start = \"{}\" {}", objective.student_start,
               objective.kind == "distill" ? "with train.start_from" : "without a teacher"),
        where, "set it to \"none\"");
  }
  if ((objective.kind == "distill") == !objective.teacher.empty()) return;
  throw usage_error(format("objective.kind = \"{}\" {} objective.teacher", objective.kind,
                           objective.teacher.empty() ? "without" : "with"),
                    where, "a teacher belongs to objective.kind = \"distill\"");
}

/// `ranks` along an axis of the mesh must share out `count` things alike.
void check_shares(const char* axis, int64_t ranks, const std::string& things, int64_t count,
                  const std::string& where) {
  if (count > 0 && count % ranks == 0) return;
  throw usage_error(format("{} = {} ranks do not divide {} = {}", axis, ranks, things, count),
                    where, "give a divisor: each rank holds as many");
}

/// Whether the ranks of the mesh can hold equal parts of the model.
void check_parts(const Recipe& recipe, const std::string& where) {
  const ModelConfig& model = recipe.model;
  const MeshConfig& mesh = recipe.mesh;
  if (mesh.expert > 1 && model.moe.num_experts == 0) {
    throw usage_error(format("mesh.expert = {}, but the model has no experts", mesh.expert), where,
                      "set it to 1; mesh.data splits the batch");
  }
  if (mesh.expert > 1) {
    check_shares("mesh.expert", mesh.expert, "model.moe.num_experts", model.moe.num_experts, where);
  }
  if (mesh.model == 1) return;
  check_shares("mesh.model", mesh.model, "model.num_heads", model.num_heads, where);
  check_shares("mesh.model", mesh.model, "model.d_ff", model.d_ff, where);
  if (model.d_ff / mesh.model % 4 != 0) {
    throw usage_error(format("mesh.model = {} leaves each rank {} of model.d_ff = {}", mesh.model,
                             model.d_ff / mesh.model, model.d_ff),
                      where, "a rank's part must be a multiple of 4: use fewer ranks");
  }
  if (model.moe.num_experts > 0 && model.moe.attention_experts != "none") {
    throw usage_error("mesh.model does not split experts in attention", where,
                      "set mesh.model to 1; mesh.expert shares the experts out");
  }
}

void check_mesh(const Recipe& recipe, const std::string& where) {
  const int64_t ranks = recipe.mesh.data * recipe.mesh.expert;
  const int64_t batch = recipe.train.batch_sequences;
  if (batch % ranks != 0) {
    throw usage_error(format("mesh.data x mesh.expert = {} ranks do not divide "
                             "train.batch_sequences = {}",
                             ranks, batch),
                      where, "each rank takes as many sequences: give a divisor");
  }
  const int64_t group = routing_rules(recipe.model.moe).group_sequences;
  if (recipe.model.moe.num_experts > 0 && ranks > 1 && batch / ranks % group != 0) {
    throw usage_error(format("model.moe.group_sequences = {} does not divide the {} sequences of "
                             "each of {} ranks",
                             group, batch / ranks, ranks),
                      where, "a routing group lies on one rank: use fewer ranks or larger batches");
  }
}

}  // namespace

void ObjectiveConfig::list_fields(FieldList& f) {
  f.choice("kind", &kind, {"span_corruption", "seq2seq", "distill"}, "what the model learns");
  f.number("logit_z_loss", &logit_z_loss, 0, 1e3,
           "factor of (log Z)^2 over the vocabulary in the loss; T5: 1e-4");
  f.text("teacher", &teacher, "distill: model directory or run whose probabilities are learned");
  f.number("soft_weight", &soft_weight, 0, 1,
           "distill: weight of the teacher's probabilities; the targets have the rest");
  f.number("temperature", &temperature, 0.01, 1e3,
           "distill: of both softmaxes in the soft part, whose loss is multiplied by its square");
  f.choice("student_start", &student_start, {"none", "fresh", "average", "most_used"},
           "distill: begin with the teacher's weights but for its experts, in whose place come new "
           "weights, their mean or the most used one; none: nothing of it");
}

void OptimizerConfig::list_fields(FieldList& f) {
  f.choice("kind", &kind, {"adafactor", "adamw"}, "adafactor: T5's, little memory");
  f.number("learning_rate", &learning_rate, 0, 1e3,
           "peak rate; about 0.01 for adafactor (relative to the weights), 0.001 for adamw");
  f.choice("schedule", &schedule, {"constant", "linear", "cosine", "inverse_sqrt"},
           "how the rate changes after the warm-up");
  f.integer("warmup_steps", &warmup_steps, 0, kMaxSteps,
            "steps of rising rate; inverse_sqrt: steps before the rate falls");
  f.flag("inverse_sqrt_ramp", &inverse_sqrt_ramp,
         "inverse_sqrt: rise from 0 during the warm-up; false: at the peak at once, as T5");
  f.number("final_rate_factor", &final_rate_factor, 0, 1,
           "linear and cosine: share of learning_rate left at the end");
  f.integer("decay_steps", &decay_steps, 0, kMaxSteps,
            "linear and cosine: step at which the end is reached; 0: train.steps");
  f.number("clip_norm", &clip_norm, 0, 1e9, "largest global gradient norm; 0: not clipped");
  f.number("weight_decay", &weight_decay, 0, 1e3,
           "decoupled decay of matrices, times the scheduled rate");
  f.number("beta1", &beta1, 0, 0.999999, "adamw: decay of the first moment");
  f.number("beta2", &beta2, 0, 0.999999999, "adamw: decay of the second moment");
  f.number("epsilon", &epsilon, 1e-30, 1, "adamw: added to the root of the second moment");
  f.number("decay_exponent", &decay_exponent, 0.01, 1,
           "adafactor: second moment decays by 1 - step^-decay_exponent");
  f.integer("min_dim_factored", &min_dim_factored, 1, int64_t{1} << 40,
            "adafactor: matrices with both axes this long keep row and column means only");
  f.number("clip_threshold", &clip_threshold, 1e-3, 1e9,
           "adafactor: largest root mean square of a matrix's update");
  f.flag("scale_parameter", &scale_parameter,
         "adafactor: multiply the rate by max(0.001, root mean square of the matrix)");
  f.number("momentum", &momentum, 0, 0.999999,
           "adafactor: weight of the old running mean of steps; 0: none, and no memory for it");
}

void TrainConfig::list_fields(FieldList& f) {
  f.integer("steps", &steps, 1, kMaxSteps, "optimizer steps of the whole run; may be raised later");
  f.integer("batch_sequences", &batch_sequences, 1, kMaxSequences, "sequences of one step");
  f.integer("micro_batch_sequences", &micro_batch_sequences, 0, kMaxSequences,
            "sequences of one forward pass (less memory, same gradient); 0: whole batch");
  f.flag("recompute", &recompute,
         "run each block's forward pass again in backward: less memory, more time, same bits");
  f.choice("precision", &precision, {"bf16-selective", "bf16", "fp32"},
           "arithmetic; bf16-selective: bfloat16 with float32 router, softmax and losses");
  f.integer("seed", &seed, 0, int64_t{1} << 62, "of initialization, data order, masks and jitter");
  f.integer("log_every", &log_every, 1, kMaxSteps, "steps between lines of metrics");
  f.integer("evaluate_every", &evaluate_every, 0, kMaxSteps,
            "steps between evaluations; 0: at the end only");
  f.flag("evaluate_start", &evaluate_start,
         "evaluate before the first step too: what a run begins with, as train.start_from");
  f.integer("evaluate_sequences", &evaluate_sequences, 1, kMaxSequences,
            "held-out sequences, or examples of each task, of an evaluation, always the same ones");
  f.integer("checkpoint_every", &checkpoint_every, 0, kMaxSteps,
            "steps between checkpoints; 0: at the end only");
  f.integer("keep_checkpoints", &keep_checkpoints, 0, kMaxSteps,
            "newest checkpoints to keep; 0: all");
  f.integer("keep_every", &keep_every, 0, kMaxSteps,
            "keep also the checkpoints of every n-th step; 0: none");
  f.integer(
      "keep_best", &keep_best, 0, kMaxSteps,
      "keep also that many with the best train.best_metric, of those evaluated at their step");
  f.number("checkpoint_copy_share", &checkpoint_copy_share, 0, 1,
           "memory for checkpoints, as a share of one: what is copied so that the next update need "
           "not wait until it is written");
  f.number("checkpoint_shard_gb", &checkpoint_shard_gb, 1e-6, 1e6,
           "largest file of a checkpoint, 10^9 bytes; one tensor may be larger");
  f.number("max_minutes", &max_minutes, 0, 1e9,
           "save and end after this time; 0: no limit. Run again to go on");
  f.flag("tensorboard", &tensorboard, "write event files for TensorBoard");
  f.text("start_from", &start_from,
         "model directory or run whose weights the run begins with; empty: new ones");
  f.text("freeze", &freeze,
         "parameters that are not trained: router, experts, all_but_experts, embeddings or "
         "patterns with *, with commas between them");
  f.text(
      "best_metric", &best_metric,
      "what keep_best goes by, more is better: nlp, mean (of tasks' numbers) or NAME/NUMBER of a "
      "task; empty: mean with tasks, else nlp");
}

void TaskEntry::list_fields(FieldList& f) {
  f.text("task", &task, "name or file of the task; empty: the name of this table");
  f.text("train", &train, "file in the task's layout to train on; empty: none");
  f.text("validation", &validation, "file in the task's layout to decode and measure; empty: none");
  f.number("weight", &weight, -1, 1e12, "share of the examples; -1: what the task's file says");
  f.integer("max_examples", &max_examples, 0, int64_t{1} << 40,
            "more examples do not count in the share; 0: what the task's file says");
}

void MeshConfig::list_fields(FieldList& f) {
  f.integer("data", &data, 1, 1 << 20, "ranks that split the batch");
  f.integer("expert", &expert, 1, 1 << 20, "ranks that split the experts");
  f.integer("model", &model, 1, 1 << 20, "ranks that split each matrix");
  f.integer("exchange_chunks", &exchange_chunks, 1, 1024,
            "parts into which the exchange of experts' tokens is cut: one travels while another is "
            "computed");
  f.flag(
      "background", &background,
      "a thread moves messages on while the program computes: for slow networks and spare cores");
  f.flag("share_optimizer", &share_optimizer,
         "ranks with the same weights share out the optimizer's state and the updates");
  f.number("wait_seconds", &wait_seconds, 1, 1e6,
           "longest wait for another rank; then the run ends and names it");
  f.number("alone_seconds", &alone_seconds, 1, 1e7,
           "longest wait for what rank 0 does alone: reading or writing a checkpoint, answering "
           "tasks");
}

void Recipe::list_fields(FieldList& fields) {
  fields.section("model", model);
  fields.section("data", data);
  fields.section("objective", objective);
  fields.section("optimizer", optimizer);
  fields.section("train", train);
  fields.section("health", health);
  fields.section("mesh", mesh);
  struct Tasks {
    std::map<std::string, TaskEntry>& entries;
    void list_fields(FieldList& inner) {
      for (auto& [name, entry] : entries) inner.section(name, entry);
    }
  };
  Tasks all{tasks};
  fields.section("tasks", all);
}

void Recipe::add_tasks_of(const Recipe& other) {
  for (const auto& [name, entry] : other.tasks) tasks[name];
}

std::string Recipe::to_toml(bool with_help) const {
  Recipe copy = *this;
  std::erase_if(copy.tasks, [](const auto& task) {
    return task.second.train.empty() && task.second.validation.empty();
  });
  FieldList fields;
  copy.list_fields(fields);
  return fields.to_toml(with_help);
}

void Recipe::apply(const std::vector<std::string>& overrides) {
  FieldList fields;
  list_fields(fields);
  set_all(fields, overrides);
  validate("recipe");
}

void Recipe::validate(const std::string& where) const {
  model.validate(where);
  check_batches(*this, where);
  check_tasks(*this, where);
  check_distillation(*this, where);
  check_parts(*this, where);
  check_mesh(*this, where);
  warn_precision(*this);
  if (optimizer.decay_steps > 0 && optimizer.decay_steps <= optimizer.warmup_steps) {
    throw usage_error(format("optimizer.decay_steps = {} is not after warmup_steps = {}",
                             optimizer.decay_steps, optimizer.warmup_steps),
                      where, "give a later step, or 0 for train.steps");
  }
}

}  // namespace switchyard
