// switchyard generate: the output that a model gives for each input.
#include "commands.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/log.h"
#include "base/progress.h"
#include "infer/cached_decoder.h"
#include "infer/engine/expert_choice.h"
#include "infer/generate.h"
#include "infer/generate_lines.h"
#include "lines.h"
#include "model/model_directory.h"
#include "train/evaluation.h"
#include "train/process_setup.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

struct GenerateCommand {
  std::string model, input, output, text;
  std::string precision = "bf16-selective";
  int64_t batch_size = 16;
  bool fill = false, cache = true, token_log_probs = false;
  std::string prefix;
  std::vector<std::string> stops;
  GenerateOptions options;
};

/// The model in the form that decodes fastest: with caches over mapped weights, unless that is not
/// wanted or its router does not go with it.
class LoadedModel {
 public:
  LoadedModel(const std::string& directory, Precision precision, bool cache) {
    const ModelConfig config = read_model_description(directory).config;
    std::string obstacle = batch_dependence(config.moe);
    if (precision == Precision::kBfloat16) obstacle = "precision bf16 has a bfloat16 router";
    if (cache && obstacle.empty()) {
      cached_.emplace(map_weights(directory, precision));
      return;
    }
    if (cache) log_warning("decoding without a cache, which is slow: {}", obstacle);
    plain_ = load_model(directory, precision);
  }
  const ModelConfig& config() const { return cached_ ? cached_->config() : plain_->config(); }
  std::unique_ptr<StepDecoder> decoder(const std::vector<std::vector<int32_t>>& inputs) {
    if (cached_) return std::make_unique<CachedDecoder>(*cached_, inputs);
    return std::make_unique<ModelStepDecoder>(*plain_, inputs);
  }

 private:
  std::optional<InferenceModel> cached_;
  std::unique_ptr<EncoderDecoder> plain_;
};

/// Lines go to standard output, or to a file that gets its name when all are there.
class LineOutput {
 public:
  explicit LineOutput(const std::string& path) {
    if (!path.empty() && path != "-") file_.emplace(path);
  }
  void write(const std::string& line) {
    if (file_) {
      file_->write(line + "\n");
    } else if (std::fwrite((line + "\n").data(), 1, line.size() + 1, stdout) != line.size() + 1) {
      throw system_failure("cannot write", "standard output", errno);
    }
  }
  /// Hands what was written to the reader of standard output.
  void flush() {
    if (!file_ && std::fflush(stdout) != 0) {
      throw system_failure("cannot write", "standard output", errno);
    }
  }
  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::optional<AtomicFileWriter> file_;
};

class GenerateRun {
 public:
  GenerateRun(const GenerateCommand& command, int threads)
      : command_(command), options_(command.options) {
    const std::string directory = find_model_directory(command.model);
    const std::string tokenizer = directory + "/spiece.model";
    if (std::filesystem::exists(tokenizer)) tokenizer_.emplace(tokenizer);
    const bool needs_tokenizer =
        command.fill || !command.text.empty() || !command.prefix.empty() || !command.stops.empty();
    if (!tokenizer_ && needs_tokenizer) {
      throw usage_error("the model directory has no spiece.model", directory,
                        "--text, --fill, --prefix and --stop need a tokenizer; give `input_ids` "
                        "without them");
    }
    prepare_process(threads);
    model_.emplace(directory, parse_precision(command.precision), command.cache);
    if (tokenizer_) check_vocabulary(model_->config(), tokenizer_->vocab_size(), tokenizer);
    set_text_options();
    options_.validate(model_->config().vocab_size, "command line");
  }

  void run_text() {
    const std::vector<int32_t> ids = encode_input(*tokenizer_, command_.text);
    const auto generations = decode({ids}, {0});
    for (const Generation& generation : generations.front()) {
      fmt::print("{}\n", command_.fill ? filled_text(*tokenizer_, ids, generation)
                                       : tokenizer_->decode(generation.ids));
    }
  }

  void run_lines() {
    LineOutput output(command_.output);  // a place that cannot be written: known at once
    const std::string source = command_.input == "-" ? "standard input" : command_.input;
    std::vector<GenerateRequest> batch;
    uint64_t number = 0;
    for_each_line(command_.input, [&](std::string_view line) {
      ++number;
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
      batch.push_back(
          parse_generate_line(line, tokenizer(), model_->config().vocab_size, source, number));
      if (static_cast<int64_t>(batch.size()) == command_.batch_size) answer(batch, output);
    });
    if (!batch.empty()) answer(batch, output);
    output.commit();
  }

 private:
  /// What is given as text, in ids.
  void set_text_options() {
    if (!command_.prefix.empty()) options_.output.prefix = tokenizer_->encode(command_.prefix);
    if (command_.stops.empty()) return;
    options_.output.stop = [this](const std::vector<int32_t>& ids) {
      const std::vector<int32_t> own(
          ids.begin() + static_cast<std::ptrdiff_t>(options_.output.prefix.size()), ids.end());
      const std::string text = tokenizer_->decode(own);
      return std::any_of(
          command_.stops.begin(), command_.stops.end(),
          [&](const std::string& stop) { return text.find(stop) != std::string::npos; });
    };
  }

  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }

  std::vector<std::vector<Generation>> decode(const std::vector<std::vector<int32_t>>& inputs,
                                              const std::vector<uint64_t>& keys) {
    const std::unique_ptr<StepDecoder> decoder = model_->decoder(inputs);
    return generate(*decoder, keys, options_);
  }

  /// Answers the lines of a batch in their order, and empties it.
  void answer(std::vector<GenerateRequest>& batch, LineOutput& output) {
    std::vector<std::vector<int32_t>> inputs;
    std::vector<uint64_t> keys;
    for (const GenerateRequest& request : batch) {
      inputs.push_back(request.input_ids);
      keys.push_back(request.line);
    }
    const auto generations = decode(inputs, keys);
    line_.clear();
    AnswerOptions options;
    options.fill = command_.fill;
    options.n_best = options_.num_return > 1;
    options.score = options_.beam_search();
    options.token_log_probs = command_.token_log_probs;
    for (size_t i = 0; i < batch.size(); ++i) {
      output.write(answer_line(batch[i], generations[i], tokenizer(), options));
    }
    output.flush();
    done_ += static_cast<int64_t>(batch.size());
    line_.show(format("generate  {} lines", format_count(done_)));
    batch.clear();
  }

  const GenerateCommand& command_;
  GenerateOptions options_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<LoadedModel> model_;
  ProgressLine line_;
  int64_t done_ = 0;
};

void run(const GenerateCommand& command, int threads) {
  if (command.input.empty() == command.text.empty()) {
    throw usage_error("give one of --input and --text", "command line",
                      "see `switchyard generate --help`");
  }
  if (!command.text.empty() && !command.output.empty()) {
    throw usage_error("--output goes with --input", "command line", "--text prints its output");
  }
  GenerateRun generate_run(command, threads);
  if (command.text.empty()) {
    generate_run.run_lines();
  } else {
    generate_run.run_text();
  }
}

void add_decoding_options(CLI::App& command, GenerateOptions& options) {
  command.add_option("--num-return", options.num_return, "Outputs for an input: adds `outputs`")
      ->check(CLI::Range(1, 1 << 10))
      ->option_text("N=1");
  command.add_option("--num-beams", options.num_beams, "Beam search with N beams; 1: greedy")
      ->check(CLI::Range(1, 1 << 10))
      ->option_text("N=1");
  command
      .add_option("--length-penalty", options.length_penalty,
                  "Beams rank by log-probability / length^X (adds `score`): above 0 favours long "
                  "outputs")
      ->check(CLI::Range(-10.0, 10.0))
      ->option_text("X=1");
  command
      .add_option("--repetition-penalty", options.output.repetition_penalty,
                  "Divide positive scores of ids that the output has by X, multiply negative ones")
      ->check(CLI::Range(0.01, 100.0))
      ->option_text("X=1");
  command
      .add_option("--no-repeat-ngram", options.output.no_repeat_ngram,
                  "No sequence of N ids twice in an output (0: no limit)")
      ->check(CLI::Range(0, 1 << 20))
      ->option_text("N=0");
  // Any of these makes it sample.
  const auto sampling = [&](const std::string& name, auto& value, const std::string& help) {
    using Value = std::remove_reference_t<decltype(value)>;
    return command.add_option_function<Value>(
        name,
        [&options, &value](const Value& given) {
          options.sample = true;
          value = given;
        },
        help);
  };
  sampling("--temperature", options.temperature,
           "Sample from p^(1/X); below 1 favours the probable. This and the next four make it "
           "sample")
      ->check(CLI::Range(0.01, 100.0))
      ->option_text("X=1");
  sampling("--top-k", options.top_k, "Sample among the N most probable ids (0: all)")
      ->check(CLI::Range(0, 1 << 30))
      ->option_text("N=0");
  sampling("--top-p", options.top_p, "Then among the fewest ids that have this share")
      ->check(CLI::Range(0.0, 1.0))
      ->option_text("X=1");
  sampling("--min-p", options.min_p,
           "Then among the ids with this share of the largest probability")
      ->check(CLI::Range(0.0, 1.0))
      ->option_text("X=0");
  sampling("--seed", options.seed,
           "The same seed draws the same for the same line of the input, whatever the batch")
      ->option_text("N=1");
}

}  // namespace

void add_generate_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("generate", "Output of a model for each line of a file");
  command->footer(
      "A line of the input is {\"input_ids\": [13, 7, 1]}, taken as it is, or {\"input\": \"Dogs "
      "<extra_id_0>.\"}, to which EOS is added; other keys are kept. Answers come in the same "
      "order, "
      "with `output_ids` (without EOS), `log_prob` (sum of their log-probabilities, EOS included, "
      "nats) and, if the model directory has spiece.model, `output`. What a line gives does not "
      "depend on the lines decoded with it; with --no-cache it does where experts run out of "
      "capacity.");
  auto state = std::make_shared<GenerateCommand>();
  command->add_option("--model", state->model, "Model directory, or a run: its newest checkpoint")
      ->required()
      ->option_text("DIR");
  command->add_option("--input", state->input, "JSON lines; - for standard input")
      ->option_text("FILE");
  command->add_option("--output", state->output, "File to write; default: standard output")
      ->option_text("FILE");
  command->add_option("--text", state->text, "One input, in place of --input; prints text")
      ->option_text("TEXT");
  command->add_flag("--fill", state->fill,
                    "Put the spans generated into the places of the input's sentinels "
                    "(<extra_id_0>, ...): prints that with --text, else adds `filled`");
  command
      ->add_option("--max-new-tokens", state->options.max_new_tokens,
                   "Most ids to generate for an input, EOS counted")
      ->required()
      ->check(CLI::Range(1, 1 << 20))
      ->option_text("N");
  add_decoding_options(*command, state->options);
  command->add_option("--prefix", state->prefix, "Text that every output begins with")
      ->option_text("TEXT");
  command
      ->add_option("--stop", state->stops,
                   "End an output once its text, behind the prefix, has one of these in it")
      ->option_text("TEXT...");
  command->add_flag("--log-probs", state->token_log_probs,
                    "Add `token_log_probs`: of each new id, and of EOS where it was reached");
  command->add_option("--batch-size", state->batch_size, "Inputs decoded together")
      ->check(CLI::Range(1, 1 << 16))
      ->option_text("N=16");
  command->add_option("--precision", state->precision, "bf16-selective, bf16 or fp32")
      ->check(CLI::IsMember({"bf16-selective", "bf16", "fp32"}))
      ->option_text("NAME=bf16-selective");
  command->add_flag_function(
      "--no-cache", [state](int64_t) { state->cache = false; },
      "Run the decoder over the whole output at each id, with the evaluation capacity over the "
      "batch: slow, to compare");
  command->callback([state, &global] { run(*state, global.thread_count()); });
}

}  // namespace switchyard
