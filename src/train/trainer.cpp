#include "train/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/stop_signal.h"
#include "base/threads.h"
#include "comm/mesh.h"
#include "data/loader.h"
#include "model/counts.h"
#include "model/model_directory.h"
#include "model/parallel/whole_model.h"
#include "train/batches.h"
#include "train/checkpoint_writer.h"
#include "train/evaluator.h"
#include "train/freezing.h"
#include "train/gemm_rate.h"
#include "train/gradient_reducer.h"
#include "train/health/culprit.h"
#include "train/health/health_monitor.h"
#include "train/health/roll_backs.h"
#include "train/rank_sums.h"
#include "train/run_directory.h"
#include "train/run_reporter.h"
#include "train/shared_checkpoint.h"
#include "train/specialization.h"
#include "train/teacher.h"
#include "train/time_limit.h"
#include "train/train_step.h"
#include "train/training_data.h"
#include "train/weights_fingerprint.h"

namespace switchyard {
namespace {

CheckpointOptions checkpoint_options(const TrainConfig& config, const TrainingData& data,
                                     const RunDirectory& run, const Mesh& mesh) {
  std::string tokenizer = data.tokenizer_path;
  // Prepared data has one of its own; that of a model may go with the model.
  if (!data.tasks.empty() && mesh.is_first()) tokenizer = run.keep_tokenizer(tokenizer);
  return {static_cast<uint64_t>(config.checkpoint_shard_gb * 1e9), tokenizer};
}

std::unique_ptr<Teacher> open_teacher(const Recipe& recipe) {
  if (recipe.objective.teacher.empty()) return nullptr;
  return std::make_unique<Teacher>(recipe.objective.teacher,
                                   parse_precision(recipe.train.precision), recipe.model);
}

// Weights and two moments, to a slow disk: until the first checkpoint has been timed.
double guessed_save_seconds(const Recipe& recipe) {
  constexpr double kBytesPerParameter = 12, kBytesPerSecond = 1e8;
  return static_cast<double>(count_parameters(recipe.model)) * kBytesPerParameter / kBytesPerSecond;
}

// The other ranks take up what rank 0 has made there by then.
RunDirectory open_run(const std::string& path, const Recipe& recipe, const Mesh& mesh) {
  if (mesh.is_first()) return RunDirectory(path, recipe);
  return RunDirectory(path);
}

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

class Trainer {
 public:
  Trainer(const Recipe& recipe, const TrainOptions& options)
      : recipe_(recipe),
        options_(options),
        mesh_(options.mesh ? *options.mesh : one_rank_),
        rows_(mesh_.rows(recipe.train.batch_sequences)),
        time_limit_(recipe.train.max_minutes, guessed_save_seconds(recipe)),
        data_(open_training_data(recipe, options.run_directory)),
        evaluator_(recipe, data_, mesh_),
        run_(open_run(options.run_directory, recipe, mesh_)),
        model_(recipe.model, parse_precision(recipe.train.precision), at::kCPU, &mesh_),
        teacher_(open_teacher(recipe)),
        optimizer_(make_optimizer(recipe.optimizer,
                                  freeze_parameters(recipe.train.freeze, model_.parameters()),
                                  recipe.mesh.share_optimizer)),
        reducer_(model_.parameters()),
        checkpoint_options_(checkpoint_options(recipe.train, data_, run_, mesh_)),
        saver_(model_, *optimizer_, checkpoint_options_, recipe.train.checkpoint_copy_share),
        health_(recipe.health) {}

  TrainSummary run();

 private:
  void start();
  void start_weights();
  void check_teacher() const;
  void check_same_start() const;
  void log_changes() const;
  bool restore();
  /// What all ranks made of a checkpoint: no position if there is none, or if a rank found damage.
  struct Shared {
    int64_t step = -1;
    std::optional<TrainPosition> position;
    std::string damage;
  };
  Shared shared(std::optional<TrainPosition> loaded);
  Error damage_elsewhere(const Shared& shared) const;
  std::optional<TrainPosition> load_newest();
  void open_loader();
  void loop();
  bool step();
  void agree(StepResult& result) const;
  void wait_for_first() const;
  void count_tokens(const TokenBatch& own);
  void report(const Verdict& verdict, int64_t step);
  void roll_back(const Verdict& verdict);
  std::optional<TrainPosition> load_before(int64_t step);
  std::optional<TrainPosition> load_sound_before(int64_t step);
  void log();
  void evaluate_now();
  void save();
  void remove_old_checkpoints() const;
  void report_failure(const Error& error);
  bool time_is_up();
  bool asked_to_stop();
  void write_run_json() const;
  TrainSummary summary() const;

  Recipe recipe_;
  TrainOptions options_;
  Mesh one_rank_;
  const Mesh& mesh_;
  Share rows_;  // this rank's of every batch
  TimeLimit time_limit_;
  TrainingData data_;
  Evaluator evaluator_;
  RunDirectory run_;
  EncoderDecoder model_;
  std::unique_ptr<Teacher> teacher_;  // of objective "distill"
  std::unique_ptr<Optimizer> optimizer_;
  GradientReducer reducer_;
  CheckpointOptions checkpoint_options_;
  CheckpointWriter saver_;
  std::unique_ptr<RunReporter> reporter_;
  TrainPosition position_;
  HealthMonitor health_;
  std::vector<RollBack> roll_backs_;
  std::unique_ptr<Loader> loader_;
  bool weights_finite_ = true;
  bool saving_ = false;          // rank 0 may still be writing what was saved last
  uint64_t damaged_pieces_ = 0;  // of the training data, told so far
  double step_seconds_ = 0;      // of the last step
  double gemm_rate_ = 0;
  double learning_rate_ = 0;  // of the last step
  int signal_ = 0;            // that any rank has received
  int64_t evaluated_step_ = -1, saved_step_ = -1;
  std::optional<double> nlp_;
};

// Takes up the newest checkpoint that is sound; false if there is none at all.
bool Trainer::restore() {
  while (true) {
    const Shared newest = shared(mesh_.is_first() ? load_newest() : std::nullopt);
    if (newest.damage.empty()) {
      if (newest.position) position_ = *newest.position;
      return newest.position.has_value();
    }
    int64_t oldest = mesh_.is_first() ? run_.checkpoints().front() : 0;
    mesh_.all().broadcast(&oldest, 1, ElementType::kInt64, 0);
    if (oldest == newest.step) throw damage_elsewhere(newest);
    if (mesh_.is_first()) {
      log_warning("{}; going on from the checkpoint before it", damage_elsewhere(newest).what());
      run_.set_aside(newest.step);
    }
    wait_for_first();
  }
}

Error Trainer::damage_elsewhere(const Shared& shared) const {
  return damaged_error(shared.damage, run_.checkpoint_path(shared.step),
                       "copy it again, or go on from an earlier one");
}

// Where rank 0 stands now that it has loaded a checkpoint: the other ranks load the same. What only
// one of them finds damaged, in the part that it holds, is told to all.
Trainer::Shared Trainer::shared(std::optional<TrainPosition> loaded) {
  Shared result;
  result.step = loaded ? loaded->step : -1;
  wait_for_first();
  mesh_.all().broadcast(&result.step, 1, ElementType::kInt64, 0);
  result.position = std::move(loaded);
  if (result.step < 0) return result;
  std::string damage;
  if (!mesh_.is_first()) {
    try {
      result.position = load_checkpoint(run_.checkpoint_path(result.step), model_, *optimizer_,
                                        /*verified=*/true);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDamaged) throw;
      damage = error.what();
    }
  }
  wait_for_first();  // the others may share a slow disk
  const int64_t teller = mesh_.all().maximum(damage.empty() ? -1 : mesh_.rank());
  if (teller >= 0) result.damage = mesh_.all().broadcast_text(damage, static_cast<int>(teller));
  return result;
}

std::optional<TrainPosition> Trainer::load_newest() {
  const std::vector<int64_t> steps = run_.checkpoints();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      return load_checkpoint(run_.checkpoint_path(*step), model_, *optimizer_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDamaged || std::next(step) == steps.rend()) throw;
      log_warning("{}; going on from the checkpoint before it", error.what());
      run_.set_aside(*step);
    }
  }
  return std::nullopt;
}

// Loads the newest sound checkpoint from before `step` whose weights are finite; nothing if there
// is none. All ranks call it.
std::optional<TrainPosition> Trainer::load_before(int64_t step) {
  while (true) {
    const Shared found = shared(mesh_.is_first() ? load_sound_before(step) : std::nullopt);
    if (found.damage.empty()) return found.position;
    log_warning("{}", damage_elsewhere(found).what());
    step = found.step;
  }
}

std::optional<TrainPosition> Trainer::load_sound_before(int64_t step) {
  const std::vector<int64_t> steps = run_.checkpoints();
  for (auto at = steps.rbegin(); at != steps.rend(); ++at) {
    if (*at >= step) continue;
    try {
      return load_checkpoint(run_.checkpoint_path(*at), model_, *optimizer_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDamaged) throw;
      log_warning("{}", error.what());
    }
  }
  return std::nullopt;
}

// What changes the steps to come is told; the rest only concerns reports.
void Trainer::log_changes() const {
  for (const RecipeDifference& change : run_.changes()) {
    if (change.change != KeyChange::kTraining) continue;
    log_info("{} = {} from step {} on (was {})", change.key, change.ours, position_.step + 1,
             change.theirs);
  }
}

// Random ones, those of another model, or what a student takes from its teacher.
void Trainer::start_weights() {
  model_.parameters().initialize(static_cast<uint64_t>(recipe_.train.seed));
  if (!recipe_.train.start_from.empty()) {
    load_weights(find_model_directory(recipe_.train.start_from), model_);
  }
  const std::string& from_teacher = recipe_.objective.student_start;
  if (teacher_ && from_teacher != "none") {
    const TokenBatch sample = data_.training->batch(0, recipe_.train.micro_batch());
    teacher_->start_student(from_teacher, to_batch(sample, 0), model_);
  }
}

// A run taken up must go on with the teacher that it began with, which may itself be a run.
void Trainer::check_teacher() const {
  if (!teacher_ || position_.teacher == teacher_->fingerprint()) return;
  throw usage_error("the teacher's weights are not those that this run began with",
                    recipe_.objective.teacher,
                    "name the very checkpoint: objective.teacher=RUN/checkpoints/step-...");
}

// Each rank reads recipe, data and models by itself: what differs would never be found out later.
void Trainer::check_same_start() const {
  if (mesh_.all().size() == 1) return;
  wait_for_first();  // the others too may have read a large model
  const std::string own =
      recipe_.to_toml() + data_.training->fingerprint() + (teacher_ ? teacher_->fingerprint() : "");
  bool same = own == mesh_.all().broadcast_text(own, 0);
  const auto compare = [&](Communicator& ranks, const std::function<bool(const Parameter&)>& of) {
    const std::string weights = weights_fingerprint(model_.parameters(), of);
    const std::string first_weights = ranks.broadcast_text(weights, 0);
    same = same && weights == first_weights;
  };
  compare(mesh_.data(), [](const Parameter&) { return true; });
  compare(mesh_.batch(), [](const Parameter& parameter) { return !parameter.is_stack(); });
  compare(mesh_.all(), [](const Parameter& parameter) { return parameter.slice().is_whole(); });
  if (mesh_.all().maximum(same ? 0 : 1) == 0) return;
  throw usage_error("not all ranks have the same recipe, data and weights to begin with",
                    run_.path(),
                    "start them with one command line, on files that do not change meanwhile");
}

// New weights, or those of a checkpoint.
void Trainer::start() {
  roll_backs_ = read_roll_backs(run_.path());
  const bool restored = restore();
  if (!restored) {
    start_weights();
    position_.data = data_.training->fingerprint();
    if (teacher_) position_.teacher = teacher_->fingerprint();
  } else {
    check_teacher();
    if (position_.data != data_.training->fingerprint()) {
      throw usage_error("the training data is not what this run was trained on", run_.path(),
                        "make it again as it was, or give another --run-dir");
    }
    saved_step_ = position_.step;
    remove_old_checkpoints();  // a process may have been killed before it did
    log_changes();
  }
  check_same_start();
  position_.skipped.add(batches_skipped_by(roll_backs_));
  run_.cut_metrics(restored ? position_.step : -1);
  reporter_ = std::make_unique<RunReporter>(run_, recipe_, position_.step);
  if (position_.step >= recipe_.train.steps) return;
  std::vector<double> rates = {measure_gemm_rate(parse_precision(recipe_.train.precision))};
  mesh_.all().sum(rates);
  gemm_rate_ = rates.front();
  if (mesh_.is_first()) write_run_json();
  log_info(
      "{} parameters, {} experts, {:.2f} GFLOP forward per sequence; {} sequences of {} + {} "
      "tokens per step; GEMM rate {:.3f} TFLOP/s on {} threads",
      format_count(count_parameters(recipe_.model)), recipe_.model.moe.num_experts,
      forward_flops(recipe_.model, data_.training->lengths().inputs,
                    data_.training->lengths().targets) *
          1e-9,
      recipe_.train.batch_sequences, data_.training->lengths().inputs,
      data_.training->lengths().targets, gemm_rate_ * 1e-12,
      options_.threads * mesh_.shape().size());
  reporter_->event(position_, position_.step == 0 ? "started" : "continued");
  if (position_.step > 0) log_info("continuing from step {}", position_.step);
}

TrainSummary Trainer::run() {
  start();
  if (position_.step >= recipe_.train.steps) {
    log_info("all {} steps are done already; raise train.steps to go on", recipe_.train.steps);
    return summary();
  }
  open_loader();
  try {
    loop();
  } catch (const Error& error) {
    report_failure(error);
    throw;
  }
  return summary();
}

void Trainer::report_failure(const Error& error) {
  try {
    reporter_->event(position_, std::string("failed: ") + error.what());
  } catch (const Error&) {  // the disk that failed is this one: the first error says it better
  }
}

void Trainer::open_loader() {
  LoaderOptions loading;
  loading.batch_sequences = recipe_.train.batch_sequences;
  loading.first_row = rows_.begin;
  loading.num_rows = rows_.size;
  loading.first_step = static_cast<uint64_t>(position_.step);
  loading.skipped = position_.skipped;
  loading.threads = recipe_.data.loader_threads;
  loader_.reset();
  loader_ = std::make_unique<Loader>(*data_.training, loading);
}

void Trainer::loop() {
  bool stop = false;
  if (position_.step == 0 && recipe_.train.evaluate_start) evaluate_now();
  while (!stop && position_.step < recipe_.train.steps) {
    if (!step()) continue;
    const bool last = position_.step == recipe_.train.steps;
    if (last || due(position_.step, recipe_.train.log_every)) log();
    if (last || due(position_.step, recipe_.train.evaluate_every)) evaluate_now();
    stop = asked_to_stop();
    if (stop && !last) reporter_->event(position_, "stopped");
    if (last) reporter_->event(position_, "finished");
    if (last || stop || due(position_.step, recipe_.train.checkpoint_every)) save();
  }
  saver_.finish();
  wait_for_first();
}

// False if the run went back to a checkpoint instead.
bool Trainer::step() {
  const Clock::time_point start = Clock::now();
  const int64_t step = position_.step + 1;
  if (options_.before_step) {
    saver_.finish();  // it reads the weights, which may change here
    options_.before_step(step, model_);
  }
  const TokenBatch tokens = loader_->next();
  position_.window.wait_seconds += seconds_since(start);
  StepResult result = compute_gradients(model_, to_batch(tokens, rows_.begin), recipe_, step,
                                        reducer_, teacher_.get());
  agree(result);
  const Verdict verdict =
      health_.judge(step, result, model_.parameters(), step_seconds_, position_.health);
  weights_finite_ = verdict.weights_finite;
  if (verdict.action == HealthAction::kStop) {
    report(verdict, step);
    throw runtime_failure(verdict.text(), format("step {}", step),
                          "the weights were not touched; see docs/training.md, \"Health\"");
  }
  if (verdict.action == HealthAction::kRollBack) {
    roll_back(verdict);
    return false;
  }
  const bool update = verdict.action == HealthAction::kGoOn;
  if (update) apply_update(model_, *optimizer_, recipe_, step, result);
  if (update && saving_) {  // its update waits for the checkpoint
    wait_for_first();
    saving_ = false;
  }
  step_seconds_ = seconds_since(start);
  mesh_.all().broadcast(&step_seconds_, 1, ElementType::kFloat64, 0);  // all judge by one clock
  time_limit_.add_step(step_seconds_);
  if (update) learning_rate_ = result.learning_rate;
  position_.step = step;
  position_.nlp.reset();
  position_.quality.reset();
  position_.next_sequence = tokens.first_sequence - rows_.begin + recipe_.train.batch_sequences;
  count_tokens(tokens);
  position_.seconds += step_seconds_;
  if (update) {
    position_.window.add(result);
  } else {
    ++position_.window.skipped;
  }
  position_.window.seconds += step_seconds_;
  report(verdict, step);
  reporter_->progress(position_, result.loss);
  return true;
}

// All ranks judge by rank 0's numbers; what is not finite on any rank is so on all.
void Trainer::agree(StepResult& result) const {
  if (mesh_.all().size() == 1) return;
  const bool finite = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
  std::array<double, 2> numbers = {result.loss, result.gradient_norm};
  mesh_.all().broadcast(numbers.data(), 2, ElementType::kFloat64, 0);
  const bool all_finite = mesh_.all().maximum(finite ? 0 : 1) == 0;
  result.loss = all_finite || !std::isfinite(numbers[0]) ? numbers[0] : std::nan("");
  result.gradient_norm = numbers[1];
}

// After what rank 0 may have done alone, which takes the others less time.
void Trainer::wait_for_first() const {
  mesh_.all().start_barrier(recipe_.mesh.alone_seconds).wait();
}

// Of all ranks' rows.
void Trainer::count_tokens(const TokenBatch& own) {
  RankSums sums;
  auto inputs = static_cast<double>(own.input_tokens());
  auto targets = static_cast<double>(own.target_tokens());
  sums.add(inputs);
  sums.add(targets);
  sums.reduce(mesh_.batch());
  position_.tokens += static_cast<int64_t>(inputs + targets);
  position_.window.sequences += recipe_.train.batch_sequences;
  position_.window.input_tokens += static_cast<int64_t>(inputs);
  position_.window.target_tokens += static_cast<int64_t>(targets);
}

void Trainer::report(const Verdict& verdict, int64_t step) {
  for (const Finding& finding : verdict.findings) {
    const char* action = action_name(finding.action);
    log_warning("step {}: {} ({})", step, finding.text, action);
    reporter_->event(position_, "finding",
                     {{"finding", finding_name(finding.kind)},
                      {"action", action},
                      {"found_at_step", step},
                      {"text", finding.text}});
  }
}

// To the last checkpoint from before the trouble, with other batches from there on.
void Trainer::roll_back(const Verdict& verdict) {
  RollBack back;
  back.step = position_.step + 1;
  back.reason = verdict.text();
  const std::string where = format("step {}", back.step);
  const auto most = static_cast<uint64_t>(recipe_.health.skip_batches);
  back.end = position_.skipped.nth(static_cast<uint64_t>(position_.step)) + 1;
  loader_.reset();
  saver_.finish();  // it reads the weights, and may be the checkpoint to take up
  const std::optional<TrainPosition> before = load_before(verdict.first_step());
  if (!before) {
    throw runtime_failure(back.reason, where, "there is no sound checkpoint to roll back to");
  }
  back.checkpoint = before->step;
  const auto tries =
      std::count_if(roll_backs_.begin(), roll_backs_.end(),
                    [&](const RollBack& other) { return other.checkpoint == back.checkpoint; });
  if (tries >= recipe_.health.in_a_row) {
    throw runtime_failure(
        back.reason, where,
        format("health.in_a_row = {} returns to step {} did not help", tries, back.checkpoint));
  }
  position_ = *before;
  for (const int64_t later : run_.checkpoints()) {
    if (later > position_.step) run_.set_aside(later);
  }
  position_.skipped.add(batches_skipped_by(roll_backs_));
  const uint64_t next = position_.skipped.nth(static_cast<uint64_t>(position_.step));
  back.begin = back.end - std::min(most, back.end - next);
  roll_backs_.push_back(back);
  if (mesh_.is_first()) write_roll_backs(run_.path(), roll_backs_);
  position_.skipped.add(back.begin, back.end);
  saved_step_ = position_.step;
  evaluated_step_ = -1;
  weights_finite_ = true;
  step_seconds_ = 0;
  reporter_.reset();
  run_.cut_metrics(position_.step);
  reporter_ = std::make_unique<RunReporter>(run_, recipe_, position_.step);
  report(verdict, back.step);
  log_warning("back to step {}; batches {} to {} are left out from there on", position_.step,
              back.begin, back.end - 1);
  reporter_->event(position_, "rolled_back",
                   {{"from_step", back.step}, {"skipped_batches", {back.begin, back.end}}});
  open_loader();
}

void Trainer::log() {
  const MetricsWindow& window = position_.window;
  const auto sequences = static_cast<double>(window.sequences);
  const auto mean = [&](int64_t tokens) {
    return std::lround(static_cast<double>(tokens) / std::max(sequences, 1.0));
  };
  Throughput throughput;
  throughput.tokens_per_second =
      static_cast<double>(window.input_tokens + window.target_tokens) / window.seconds;
  throughput.gemm_share =
      training_flops(recipe_.model, mean(window.input_tokens), mean(window.target_tokens),
                     sequences, dropped_flops(recipe_.model, window.routing)) /
      window.seconds / gemm_rate_;
  reporter_->train(position_, learning_rate_, throughput);
  if (const uint64_t damaged = data_.training->damaged_pieces(); damaged > damaged_pieces_) {
    damaged_pieces_ = damaged;
    reporter_->event(position_, "damaged data", {{"damaged_pieces", damaged}});
  }
  // The last line may come early; should train.steps be raised, the next one is as it would have
  // been.
  if (due(position_.step, recipe_.train.log_every)) position_.window = MetricsWindow();
}

void Trainer::evaluate_now() {
  if (!evaluator_.has_work() || evaluated_step_ == position_.step) return;
  const Clock::time_point start = Clock::now();
  const RunEvaluation result =
      evaluator_.evaluate(model_, weights_finite_, [&](const std::string& what) {
        reporter_->show(format("step {}  {}", position_.step, what));
      });
  evaluated_step_ = position_.step;
  nlp_ = position_.nlp = result.all.nlp();
  position_.quality = result.quality;
  position_.quality_metric = evaluator_.metric();
  if (mesh_.is_first()) {
    write_predictions(run_.path(), position_.step, data_, result);
    write_specialization(run_.path(), position_.step, result, evaluator_.tokenizer());
  }
  wait_for_first();
  time_limit_.add_evaluation(seconds_since(start));
  reporter_->evaluation(position_, result);
}

void Trainer::save() {
  if (saved_step_ == position_.step) return;
  if (!weights_finite_ && position_.step == recipe_.train.steps) {
    throw runtime_failure("the weights are not finite: there is nothing to save",
                          format("step {}", position_.step), "go on from an earlier checkpoint");
  }
  if (!weights_finite_) {
    log_warning("step {}: no checkpoint of weights that are not finite", position_.step);
    return;
  }
  reporter_->sync();
  reporter_->show(format("step {}  saving", position_.step));
  const Clock::time_point start = Clock::now();
  if (is_shared_out(mesh_) || optimizer_->is_shared()) {
    save_shared_checkpoint(run_.checkpoint_path(position_.step), model_, *optimizer_, position_,
                           checkpoint_options_, recipe_.mesh.alone_seconds);
    time_limit_.add_save(seconds_since(start));
    if (mesh_.is_first()) remove_old_checkpoints();
  } else if (mesh_.is_first()) {
    saver_.start(run_.checkpoint_path(position_.step), position_,
                 [this] { remove_old_checkpoints(); });
    time_limit_.begin_save();
  }
  wait_for_first();
  saving_ = true;
  saved_step_ = position_.step;
}

void Trainer::remove_old_checkpoints() const {
  const TrainConfig& config = recipe_.train;
  run_.remove_old_checkpoints(
      {config.keep_checkpoints, config.keep_every, config.keep_best, evaluator_.metric()});
}

// Before the next step: would that, and a checkpoint after it, take too long?
bool Trainer::time_is_up() {
  if (const auto seconds = saver_.written_seconds()) time_limit_.add_save(*seconds);
  return time_limit_.reached(due(position_.step + 1, recipe_.train.evaluate_every));
}

// A signal may have reached one rank alone, and clocks differ: all stop after the same step.
bool Trainer::asked_to_stop() {
  signal_ = static_cast<int>(mesh_.all().maximum(stop_signal()));
  return mesh_.all().maximum(signal_ != 0 || time_is_up() ? 1 : 0) > 0;
}

void Trainer::write_run_json() const {
  const SequenceLengths lengths = data_.training->lengths();
  const nlohmann::ordered_json run = {
      {"version", options_.version},
      {"time", utc_time()},
      {"parameters", count_parameters(recipe_.model)},
      {"forward_flops_per_sequence", forward_flops(recipe_.model, lengths.inputs, lengths.targets)},
      {"input_length", lengths.inputs},
      {"target_length", lengths.targets},
      {"gemm_rate", gemm_rate_},
      {"precision", recipe_.train.precision},
      {"threads", options_.threads},
      {"ranks", mesh_.shape().size()},
      {"machine",
       {{"processor", processor_name()},
        {"cores", available_cores()},
        {"memory", available_memory()}}},
      {"data",
       {{"tokenizer", data_.tokenizer_hash},
        {"vocab_size", data_.vocab_size},
        {"fingerprint", data_.training->fingerprint()}}}};
  write_file(run_.path() + "/run.json", run.dump(2) + "\n");
}

TrainSummary Trainer::summary() const {
  TrainSummary summary;
  summary.step = position_.step;
  summary.tokens = position_.tokens;
  summary.seconds = position_.seconds;
  summary.parameters = count_parameters(recipe_.model);
  summary.gemm_rate = gemm_rate_;
  summary.tokens_per_second =
      position_.seconds > 0 ? static_cast<double>(position_.tokens) / position_.seconds : 0.0;
  summary.nlp = nlp_;
  summary.finished = position_.step >= recipe_.train.steps;
  summary.signal = summary.finished ? 0 : signal_;
  summary.checkpoint = run_.checkpoint_path(saved_step_ >= 0 ? saved_step_ : position_.step);
  return summary;
}

}  // namespace

TrainSummary train(const Recipe& recipe, const TrainOptions& options) {
  return Trainer(recipe, options).run();
}

}  // namespace switchyard
