// switchyard eval: held-out quality of a model.
#include "commands.h"

#include <filesystem>
#include <memory>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/progress.h"
#include "data/streams.h"
#include "engine_command.h"
#include "infer/forced_loss.h"
#include "model/model_directory.h"
#include "task_eval.h"
#include "train/evaluation.h"
#include "train/process_setup.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

struct EvalCommand {
  std::string model;
  std::vector<std::string> data;
  std::string precision;  // empty: the run's, or the integers of a quantized model
  bool engine = false;
  int64_t sequences = 0;
  int64_t input_length = 0;
  TaskEvaluationCommand task;
  bool json = false;
};

/// The recipe of the run that the model lies in, else the defaults.
Recipe recipe_of(const std::string& model_directory) {
  for (const char* up : {"", "/../.."}) {
    const std::string recipe = model_directory + up + "/recipe.toml";
    if (std::filesystem::exists(recipe)) return load_run_recipe(recipe);
  }
  return {};
}

/// Ids of another tokenizer would give a number that means nothing.
void check_tokenizer(const EvaluationStream& stream, const std::string& folder,
                     const std::string& model_directory) {
  const std::string own = model_directory + "/spiece.model";
  if (!std::filesystem::exists(own) || to_hex(hash64(read_file(own))) == stream.tokenizer_hash()) {
    return;
  }
  throw usage_error("the data was prepared with another tokenizer than the model's", folder,
                    "prepare it with " + own);
}

/// The model in the form that the command asks for.
class EvaluatedModel {
 public:
  EvaluatedModel(const EvalCommand& command, const std::string& directory,
                 const std::string& default_precision) {
    const Computation computation =
        choose_computation(directory, command.engine, command.precision, default_precision);
    if (computation.engine) {
      engine_.emplace(map_weights(directory, computation.precision));
    } else {
      plain_ = load_model(directory, computation.precision);
    }
  }

  const ModelConfig& config() const { return engine_ ? engine_->config() : plain_->config(); }
  bool computes_integers() const { return engine_ && engine_->weights().type == WeightType::kInt8; }

  EvaluationResult evaluate(const EvaluationStream& stream, int64_t sequences,
                            const std::function<void(int64_t)>& progress) {
    if (plain_) return switchyard::evaluate(*plain_, stream, sequences, progress);
    const auto compute = [this](const TokenBatch& tokens, EvaluationResult& result) {
      const ForcedLoss loss = forced_loss(*engine_, rows_of(tokens.inputs, tokens.num_sequences),
                                          rows_of(tokens.targets, tokens.num_sequences));
      result.cross_entropy += loss.cross_entropy;
      result.correct += loss.correct;
    };
    return switchyard::evaluate(compute, stream, sequences, kSequencesTogether, progress);
  }

 private:
  static constexpr int64_t kSequencesTogether = 64;

  static std::vector<std::vector<int32_t>> rows_of(const std::vector<int32_t>& ids, int64_t rows) {
    const auto width = static_cast<std::ptrdiff_t>(ids.size()) / rows;
    std::vector<std::vector<int32_t>> split;
    for (auto from = ids.begin(); from != ids.end(); from += width) {
      split.emplace_back(from, from + width);
    }
    return split;
  }

  std::unique_ptr<EncoderDecoder> plain_;
  std::optional<InferenceModel> engine_;
};

void check(const EvalCommand& command) {
  if (command.task.task.empty() != command.task.input.empty()) {
    throw usage_error("--task and --input belong together", "command line",
                      "give a task and a file of it");
  }
  if (command.data.empty() == command.task.task.empty()) {
    throw usage_error(command.data.empty() ? "nothing to evaluate on" : "both --data and --task",
                      "command line", "give --data DIR, or --task NAME and --input FILE");
  }
}

void run_task(const EvalCommand& command, const std::string& directory, const Recipe& recipe) {
  TaskEvaluationCommand task = command.task;
  task.json = command.json;
  task.input_length = command.input_length;
  const std::string& given = command.precision;
  evaluate_task(task, directory, parse_precision(given.empty() ? recipe.train.precision : given),
                recipe);
}

void run(const EvalCommand& command, int threads) {
  check(command);
  const std::string directory = find_model_directory(command.model);
  const Recipe recipe = recipe_of(directory);
  if (!command.task.task.empty()) {
    prepare_process(threads);
    run_task(command, directory, recipe);
    return;
  }
  DataConfig config = recipe.data;
  if (command.input_length > 0) config.input_length = command.input_length;
  prepare_process(threads);
  EvaluatedModel model(command, directory, recipe.train.precision);
  EvaluationResult all;
  nlohmann::ordered_json sources = nlohmann::ordered_json::array();
  ProgressLine line;
  WeightedPaths paths;
  paths.reserve(command.data.size());
  for (const std::string& path : command.data) paths.emplace_back(path, 1.0);
  const std::vector<PreparedSource> data = find_prepared(paths, "validation");
  for (const PreparedSource& source : data) {
    const std::string& folder = source.folder;
    const EvaluationStream stream(config, folder, static_cast<uint64_t>(command.sequences));
    check_vocabulary(model.config(), stream.vocab_size(), folder);
    check_tokenizer(stream, folder, directory);
    const EvaluationResult result = model.evaluate(stream, command.sequences, [&](int64_t done) {
      line.show(format("evaluate {}  {} of {} sequences", folder, done, stream.num_sequences()));
    });
    sources.push_back({{"data", folder},
                       {"name", source.name},
                       {"nlp", result.nlp()},
                       {"accuracy", result.accuracy()}});
    line.clear();
    if (!command.json && data.size() > 1) fmt::print("{:.4f}  {}\n", result.nlp(), folder);
    all += result;
  }
  if (command.json) {
    nlohmann::ordered_json object = {{"model", directory},
                                     {"int8", model.computes_integers()},
                                     {"nlp", all.nlp()},
                                     {"accuracy", all.accuracy()},
                                     {"targets", all.cross_entropy.count},
                                     {"sequences", all.sequences},
                                     {"input_length", config.input_length},
                                     {"seconds", all.seconds},
                                     {"sources", sources}};
    fmt::print("{}\n", object.dump());
    return;
  }
  fmt::print("NLP       {:.4f} nats per target token\n", all.nlp());
  fmt::print("accuracy  {:.2f} %\n", 100 * all.accuracy());
  fmt::print("{} targets of {} sequences in {}\n",
             format_count(static_cast<long long>(all.cross_entropy.count)),
             format_count(all.sequences), format_duration(all.seconds));
}

}  // namespace

void add_eval_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "eval", "Held-out quality: negative log perplexity (NLP) and accuracy, or metrics of a task");
  auto state = std::make_shared<EvalCommand>();
  command->add_option("--model", state->model, "Model directory, or a run: its newest checkpoint")
      ->required()
      ->option_text("DIR");
  command
      ->add_option("--data", state->data,
                   "Prepared data, as DIR/validation, or folders of prepared languages")
      ->option_text("DIR...");
  command
      ->add_option("--task", state->task.task,
                   "Task to decode answers to: a name or a .toml file (docs/tasks.md)")
      ->option_text("TASK");
  command->add_option("--input", state->task.input, "File in the task's layout")
      ->option_text("FILE");
  command->add_option("--examples", state->task.examples, "First N examples of the task; 0: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->option_text("N=0");
  command
      ->add_option("--predictions", state->task.predictions,
                   "Where to write answers beside references, JSON lines")
      ->option_text("FILE");
  command->add_option("--sequences", state->sequences, "First N sequences of each; 0: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->option_text("N=0");
  command
      ->add_option("--input-length", state->input_length,
                   "Encoder tokens of a sequence; default: as the model's run, else 512")
      ->check(CLI::Range(8, 1 << 20))
      ->option_text("N");
  command
      ->add_option("--precision", state->precision,
                   "bf16-selective, bf16 or fp32; default: as the model's run, else "
                   "bf16-selective; a quantized model's integers")
      ->check(CLI::IsMember({"bf16-selective", "bf16", "fp32"}))
      ->option_text("NAME");
  add_engine_flag(*command, state->engine);
  command->add_flag("--json", state->json, "Print the result as JSON");
  command->callback([state, &global] { run(*state, global.thread_count()); });
}

}  // namespace switchyard
