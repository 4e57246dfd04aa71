// switchyard generate: the output that a model gives for each input.
#include "commands.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "answer_output.h"
#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "infer/batcher.h"
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
  /// Null if it decodes without a cache.
  InferenceModel* engine() { return cached_ ? &*cached_ : nullptr; }
  std::unique_ptr<StepDecoder> decoder(const std::vector<std::vector<int32_t>>& inputs) {
    if (cached_) return std::make_unique<CachedDecoder>(*cached_, inputs);
    return std::make_unique<ModelStepDecoder>(*plain_, inputs);
  }

 private:
  std::optional<InferenceModel> cached_;
  std::unique_ptr<EncoderDecoder> plain_;
};

/// Stands for all that decides the answers but the lines themselves: options and model.
std::string job_of(const GenerateCommand& command) {
  const GenerateOptions& options = command.options;
  nlohmann::json job = {command.precision,
                        command.fill,
                        command.cache ? 0 : command.batch_size,
                        command.token_log_probs,
                        command.prefix,
                        command.stops,
                        options.max_new_tokens,
                        options.num_return,
                        options.num_beams,
                        options.length_penalty,
                        options.sample,
                        options.temperature,
                        options.top_k,
                        options.top_p,
                        options.min_p,
                        options.seed,
                        options.output.repetition_penalty,
                        options.output.no_repeat_ngram};
  std::set<std::filesystem::directory_entry> files;  // by name
  for (const auto& entry :
       std::filesystem::directory_iterator(find_model_directory(command.model))) {
    if (entry.is_regular_file()) files.insert(entry);
  }
  for (const auto& file : files) {
    job.push_back({file.path().filename().string(), file.file_size(),
                   file.last_write_time().time_since_epoch().count()});
  }
  return to_hex(hash64(job.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
}

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

  /// Answers each line of the input, in their order. Throws Error(kRuntime) after a stop signal.
  void run_lines() {
    AnswerOutput output(command_.output, job_of(command_));  // known at once if it cannot be made
    LineReader reader(command_.input, static_cast<size_t>(4 * command_.batch_size),
                      [] { return stop_signal() != 0; });
    InferenceModel* engine = model_->engine();
    try {
      if (engine && !options_.beam_search() && options_.num_return == 1) {
        answer_as_they_come(*engine, reader, output);
      } else {
        answer_in_batches(reader, output);
      }
    } catch (const Error&) {
      line_.clear();
      output.tell_what_is_kept();
      throw;
    }
    line_.clear();
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

  /// The next request whose answer is not there yet. Waits for it if `wait`; then nothing is left
  /// if there is none.
  std::optional<GenerateRequest> next_request(LineReader& reader, AnswerOutput& output, bool wait) {
    const std::string source = command_.input == "-" ? "standard input" : command_.input;
    while (auto line = wait ? reader.next() : reader.next_if_there()) {
      GenerateRequest request = parse_generate_line(
          line->text, tokenizer(), model_->config().vocab_size, source, line->number);
      if (!output.has(request)) return request;
    }
    return std::nullopt;
  }

  /// Lines of a file are worth waiting for; those of a pipe may come when earlier ones are
  /// answered.
  bool input_is_file() const {
    return command_.input != "-" && std::filesystem::is_regular_file(command_.input);
  }

  /// Lines join and leave the batch at every token.
  void answer_as_they_come(InferenceModel& engine, LineReader& reader, AnswerOutput& output) {
    Batcher batcher(engine, command_.batch_size);
    const bool file = input_is_file();
    const auto most_waiting = static_cast<size_t>(64 * command_.batch_size);
    bool more = true;
    const auto busy = [&] { return batcher.running() + batcher.waiting(); };
    do {
      while (more && busy() < 2 * command_.batch_size && output.waiting() < most_waiting) {
        const bool wait = file || busy() == 0;
        auto request = next_request(reader, output, wait);
        if (!request && wait) more = false;
        if (!request) break;
        batcher.submit(batch_request(std::move(*request), output));
      }
      stop_if_asked();
    } while (batcher.step() || more);
  }

  BatchRequest batch_request(GenerateRequest request, AnswerOutput& output) {
    BatchRequest asked;
    asked.input = request.input_ids;
    asked.output = options_.output;
    asked.max_new_tokens = options_.max_new_tokens;
    if (options_.sample) asked.sample = options_.sampling();
    asked.key = request.line;
    asked.on_done = [this, request = std::move(request), number = output.next_number(),
                     &output](Generation generation) {
      output.put(number, answer_line(request, {std::move(generation)}, tokenizer(), answers()));
      show_progress(1);
    };
    return asked;
  }

  void answer_in_batches(LineReader& reader, AnswerOutput& output) {
    // Without the cache what a line gives may depend on its batch: those are always filled.
    const bool fill = input_is_file() || !model_->engine();
    for (;;) {
      std::vector<GenerateRequest> batch;
      while (static_cast<int64_t>(batch.size()) < command_.batch_size) {
        auto request = next_request(reader, output, fill || batch.empty());
        if (!request) break;
        batch.push_back(std::move(*request));
      }
      if (batch.empty()) return;
      std::vector<std::vector<int32_t>> inputs;
      std::vector<uint64_t> keys;
      for (const GenerateRequest& request : batch) {
        inputs.push_back(request.input_ids);
        keys.push_back(request.line);
      }
      const auto generations = decode(inputs, keys);
      for (size_t i = 0; i < batch.size(); ++i) {
        output.put(output.next_number(),
                   answer_line(batch[i], generations[i], tokenizer(), answers()));
      }
      show_progress(static_cast<int64_t>(batch.size()));
      stop_if_asked();
    }
  }

  AnswerOptions answers() const {
    AnswerOptions options;
    options.fill = command_.fill;
    options.n_best = options_.num_return > 1;
    options.score = options_.beam_search();
    options.token_log_probs = command_.token_log_probs;
    return options;
  }

  void show_progress(int64_t lines) {
    done_ += lines;
    line_.show(format("generate  {} lines", format_count(done_)));
  }

  void stop_if_asked() const {
    if (stop_signal() != 0) throw runtime_failure("interrupted", command_.input);
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
  if (!command.text.empty()) {
    generate_run.run_text();
    return;
  }
  install_stop_handlers();
  try {
    generate_run.run_lines();
  } catch (const Error&) {
    if (stop_signal() != 0) std::raise(stop_signal());  // handled by default now: 128 + signal
    throw;
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
