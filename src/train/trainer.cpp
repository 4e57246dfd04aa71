#include "train/trainer.h"

#include <chrono>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/stop_signal.h"
#include "base/threads.h"
#include "data/loader.h"
#include "data/streams.h"
#include "model/counts.h"
#include "train/batches.h"
#include "train/checkpoint_writer.h"
#include "train/gemm_rate.h"
#include "train/run_directory.h"
#include "train/run_reporter.h"
#include "train/train_step.h"

namespace switchyard {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of what the training data holds: a run must not go on with other data under the same name.
std::string fingerprint(const TrainingStream& stream) {
  std::string all;
  for (const PreparedData& source : stream.sources()) all += source.manifest().to_json();
  return to_hex(hash64(all));
}

using EvaluationStreams = std::vector<std::unique_ptr<EvaluationStream>>;

EvaluationStreams open_validation(const Recipe& recipe, const TrainingStream& training) {
  EvaluationStreams streams;
  for (const auto& [path, weight] : recipe.data.validation) {
    streams.push_back(std::make_unique<EvaluationStream>(
        recipe.data, path, static_cast<uint64_t>(recipe.train.evaluate_sequences)));
    if (streams.back()->tokenizer_hash() != training.tokenizer_hash()) {
      throw usage_error("held-out data was prepared with another tokenizer than data.train", path,
                        "prepare both with the same spiece.model");
    }
  }
  if (streams.empty()) log_warning("data.validation is empty: the run will not be evaluated");
  return streams;
}

TrainingStream open_training(const Recipe& recipe) {
  TrainingStream stream(recipe.data, static_cast<uint64_t>(recipe.train.seed));
  check_vocabulary(recipe.model, stream.vocab_size(), "data.train");
  return stream;
}

CheckpointOptions checkpoint_options(const TrainConfig& config, const TrainingStream& stream) {
  return {static_cast<uint64_t>(config.checkpoint_shard_gb * 1e9), stream.tokenizer_path()};
}

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

class Trainer {
 public:
  Trainer(const Recipe& recipe, const TrainOptions& options)
      : recipe_(recipe),
        options_(options),
        stream_(open_training(recipe)),
        validation_(open_validation(recipe, stream_)),
        run_(options.run_directory, recipe),
        model_(recipe.model, parse_precision(recipe.train.precision)),
        optimizer_(make_optimizer(recipe.optimizer, model_.parameters())),
        saver_(model_, *optimizer_, checkpoint_options(recipe.train, stream_),
               recipe.train.checkpoint_copy_share) {}

  TrainSummary run();

 private:
  void start();
  bool restore();
  void loop(Loader& loader);
  void step(Loader& loader);
  void log();
  void evaluate_now();
  void save();
  void remove_old_checkpoints() const;
  void report_failure(const Error& error);
  bool time_is_up() const;
  void write_run_json() const;
  TrainSummary summary() const;

  Recipe recipe_;
  TrainOptions options_;
  TrainingStream stream_;
  EvaluationStreams validation_;
  RunDirectory run_;
  EncoderDecoder model_;
  std::unique_ptr<Optimizer> optimizer_;
  CheckpointWriter saver_;
  std::unique_ptr<RunReporter> reporter_;
  TrainPosition position_;
  double gemm_rate_ = 0;
  double learning_rate_ = 0;  // of the last step
  int64_t evaluated_step_ = -1, saved_step_ = -1;
  std::optional<double> nlp_;
  Clock::time_point begin_ = Clock::now();
};

// Takes up the newest checkpoint that is sound; false if there is none at all.
bool Trainer::restore() {
  const std::vector<int64_t> steps = run_.checkpoints();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      position_ = load_checkpoint(run_.checkpoint_path(*step), model_, *optimizer_);
      return true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDamaged || std::next(step) == steps.rend()) throw;
      log_warning("{}; going on from the checkpoint before it", error.what());
      run_.set_aside(*step);
    }
  }
  return false;
}

// New weights, or those of a checkpoint.
void Trainer::start() {
  if (!restore()) {
    model_.parameters().initialize(static_cast<uint64_t>(recipe_.train.seed));
    position_.data = fingerprint(stream_);
  } else {
    if (position_.data != fingerprint(stream_)) {
      throw usage_error("data.train is not the data that this run was trained on", run_.path(),
                        "prepare it again as it was, or give another --run-dir");
    }
    saved_step_ = position_.step;
    remove_old_checkpoints();  // a process may have been killed before it did
  }
  run_.cut_metrics(position_.step);
  reporter_ = std::make_unique<RunReporter>(run_, recipe_, position_.step);
  if (position_.step >= recipe_.train.steps) return;
  gemm_rate_ = measure_gemm_rate(parse_precision(recipe_.train.precision));
  write_run_json();
  log_info(
      "{} parameters, {} experts, {:.2f} GFLOP forward per sequence; {} sequences of {} + {} "
      "tokens per step; GEMM rate {:.3f} TFLOP/s on {} threads",
      format_count(model_.parameters().numel()), recipe_.model.moe.num_experts,
      forward_flops(recipe_.model, stream_.lengths().inputs, stream_.lengths().targets) * 1e-9,
      recipe_.train.batch_sequences, stream_.lengths().inputs, stream_.lengths().targets,
      gemm_rate_ * 1e-12, options_.threads);
  reporter_->event(position_, position_.step == 0 ? "started" : "continued");
  if (position_.step > 0) log_info("continuing from step {}", position_.step);
}

TrainSummary Trainer::run() {
  start();
  if (position_.step >= recipe_.train.steps) {
    log_info("all {} steps are done already; raise train.steps to go on", recipe_.train.steps);
    return summary();
  }
  LoaderOptions loading;
  loading.batch_sequences = recipe_.train.batch_sequences;
  loading.first_step = static_cast<uint64_t>(position_.step);
  loading.threads = recipe_.data.loader_threads;
  Loader loader(stream_, loading);
  try {
    loop(loader);
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

void Trainer::loop(Loader& loader) {
  bool stop = false;
  while (!stop && position_.step < recipe_.train.steps) {
    step(loader);
    const bool last = position_.step == recipe_.train.steps;
    stop = stop_signal() != 0 || time_is_up();
    if (last || due(position_.step, recipe_.train.log_every)) log();
    if (last || due(position_.step, recipe_.train.evaluate_every)) evaluate_now();
    if (stop && !last) reporter_->event(position_, "stopped");
    if (last) reporter_->event(position_, "finished");
    if (last || stop || due(position_.step, recipe_.train.checkpoint_every)) save();
  }
  saver_.finish();
}

void Trainer::step(Loader& loader) {
  const Clock::time_point start = Clock::now();
  const TokenBatch tokens = loader.next();
  position_.window.wait_seconds += seconds_since(start);
  const StepResult result =
      train_step(model_, *optimizer_, to_batch(tokens, 0), recipe_, position_.step + 1);
  const double seconds = seconds_since(start);
  learning_rate_ = result.learning_rate;
  ++position_.step;
  position_.nlp.reset();
  position_.next_sequence += tokens.num_sequences;
  position_.tokens += tokens.num_sequences * (tokens.input_length + tokens.target_length);
  position_.seconds += seconds;
  position_.window.add(result);
  position_.window.seconds += seconds;
  reporter_->progress(position_, result.loss);
}

void Trainer::log() {
  const MetricsWindow& window = position_.window;
  const SpanLengths& lengths = stream_.lengths();
  const auto sequences = static_cast<double>(window.steps * recipe_.train.batch_sequences);
  Throughput throughput;
  throughput.tokens_per_second =
      sequences * static_cast<double>(lengths.inputs + lengths.targets) / window.seconds;
  throughput.gemm_share = training_flops(recipe_.model, lengths.inputs, lengths.targets, sequences,
                                         dropped_flops(recipe_.model, window.routing)) /
                          window.seconds / gemm_rate_;
  reporter_->train(position_, learning_rate_, throughput);
  // The last line may come early; should train.steps be raised, the next one is as it would have
  // been.
  if (due(position_.step, recipe_.train.log_every)) position_.window = MetricsWindow();
}

void Trainer::evaluate_now() {
  if (validation_.empty() || evaluated_step_ == position_.step) return;
  EvaluationResult all;
  for (const auto& stream : validation_) {
    all += evaluate(model_, *stream, recipe_.train.evaluate_sequences, [&](int64_t done) {
      reporter_->show(format("step {}  evaluating  {} sequences", position_.step, done));
    });
  }
  evaluated_step_ = position_.step;
  nlp_ = position_.nlp = all.nlp();
  reporter_->evaluation(position_, all);
}

void Trainer::save() {
  if (saved_step_ == position_.step) return;
  reporter_->sync();
  reporter_->show(format("step {}  saving", position_.step));
  saver_.start(run_.checkpoint_path(position_.step), position_,
               [this] { remove_old_checkpoints(); });
  saved_step_ = position_.step;
}

void Trainer::remove_old_checkpoints() const {
  const TrainConfig& config = recipe_.train;
  run_.remove_old_checkpoints({config.keep_checkpoints, config.keep_every, config.keep_best});
}

bool Trainer::time_is_up() const {
  const double limit = recipe_.train.max_minutes;
  return limit > 0 && seconds_since(begin_) >= 60 * limit;
}

void Trainer::write_run_json() const {
  const SpanLengths& lengths = stream_.lengths();
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
      {"machine",
       {{"processor", processor_name()},
        {"cores", available_cores()},
        {"memory", available_memory()}}},
      {"data",
       {{"tokenizer", stream_.tokenizer_hash()},
        {"vocab_size", stream_.vocab_size()},
        {"fingerprint", fingerprint(stream_)}}}};
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
  summary.signal = summary.finished ? 0 : stop_signal();
  summary.checkpoint = run_.checkpoint_path(position_.step);
  return summary;
}

}  // namespace

TrainSummary train(const Recipe& recipe, const TrainOptions& options) {
  return Trainer(recipe, options).run();
}

}  // namespace switchyard
