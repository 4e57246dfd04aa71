#include "generate_run.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/stop_signal.h"
#include "infer/cached_decoder.h"
#include "infer/engine/expert_choice.h"
#include "infer/text_stream.h"
#include "model/model_directory.h"
#include "train/evaluation.h"
#include "train/process_setup.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

/// Stands for all that decides the answers but the lines themselves: options and model.
/// `batches`: an answer may depend on its batch.
std::string job_of(const GenerateCommand& command, bool batches) {
  const GenerateOptions& options = command.options;
  nlohmann::json job = {command.precision,
                        command.fill,
                        batches ? command.batch_size : 0,
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

}  // namespace

LoadedModel::LoadedModel(const std::string& directory, Precision precision, bool cache,
                         const EngineOptions& engine) {
  const ModelConfig config = read_model_description(directory).config;
  std::string obstacle = batch_dependence(config.moe);
  if (precision == Precision::kBfloat16) obstacle = "precision bf16 has a bfloat16 router";
  if (cache && obstacle.empty()) {
    cached_.emplace(map_weights(directory, precision), engine);
    return;
  }
  if (engine.expert_memory > 0) {
    throw usage_error("only decoding with a cache can bound the memory of experts",
                      "--expert-memory", obstacle.empty() ? "leave out --no-cache" : obstacle);
  }
  if (cache) log_warning("decoding without a cache, which is slow: {}", obstacle);
  plain_ = load_model(directory, precision);
}

std::unique_ptr<StepDecoder> LoadedModel::decoder(const std::vector<std::vector<int32_t>>& inputs) {
  if (cached_) return std::make_unique<CachedDecoder>(*cached_, inputs);
  return std::make_unique<ModelStepDecoder>(*plain_, inputs);
}

void LoadedModel::log_expert_memory() const {
  const auto use = cached_ ? cached_->expert_memory() : std::nullopt;
  if (!use) return;
  const auto size = [](int64_t bytes) { return format_bytes(static_cast<double>(bytes)); };
  log_info("experts: {} loaded, {} given up; at most {} of {} in memory", use->loads,
           use->evictions, size(use->largest), size(use->bound));
}

GenerateRun::GenerateRun(const GenerateCommand& command, int threads)
    : command_(command), options_(command.options) {
  const std::string directory = find_model_directory(command.model);
  const std::string tokenizer = directory + "/spiece.model";
  if (std::filesystem::exists(tokenizer)) tokenizer_.emplace(tokenizer);
  const bool needs_tokenizer =
      command.fill || command.input.empty() || !command.prefix.empty() || !command.stops.empty();
  if (!tokenizer_ && needs_tokenizer) {
    throw usage_error("the model directory has no spiece.model", directory,
                      "text, --fill, --prefix and --stop need a tokenizer; give `input_ids` in "
                      "--input without them");
  }
  prepare_process(threads);
  model_.emplace(directory, parse_precision(command.precision), command.cache, command.engine);
  if (tokenizer_) check_vocabulary(model_->config(), tokenizer_->vocab_size(), tokenizer);
  set_text_options();
  options_.validate(model_->config().vocab_size, "command line");
}

void GenerateRun::run_text() { print_output(command_.text, 0, ::isatty(STDOUT_FILENO) == 1); }

void GenerateRun::run_dialog() {
  std::fputs("Type a text and Enter; Ctrl-D ends.\n", stderr);
  std::string text;
  for (uint64_t key = 0;; ++key) {
    std::fputs("> ", stderr);
    if (!std::getline(std::cin, text)) break;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    print_output(text, key, true);
  }
  std::fputs("\n", stderr);
}

void GenerateRun::finish() {
  line_.clear();
  model_->log_expert_memory();
}

void GenerateRun::print_output(const std::string& text, uint64_t key, bool growing) {
  const std::vector<int32_t> input = encode_input(*tokenizer_, text);
  growing = growing && !command_.fill && options_.num_return == 1 && !options_.beam_search();
  if (!growing) {
    const auto generations = decode({input}, {key});
    for (const Generation& generation : generations.front()) {
      fmt::print("{}\n", command_.fill ? filled_text(*tokenizer_, input, generation)
                                       : tokenizer_->decode(generation.ids));
    }
    return;
  }
  TextStream shown({});
  std::vector<int32_t> ids = options_.output.prefix;
  options_.listener = [&](const WrittenId& written) {
    if (written.id != kDecoderEosId) ids.push_back(static_cast<int32_t>(written.id));
    const std::string so_far = tokenizer_->decode(ids);
    if (written.last) {
      shown.finish(so_far);
    } else {
      shown.update(so_far);
    }
    fmt::print("{}{}", shown.take(), written.last ? "\n" : "");
    std::fflush(stdout);
  };
  decode({input}, {key});
  options_.listener = {};
}

void GenerateRun::run_lines() {
  AnswerOutput output(command_.output,
                      job_of(command_, !model_->engine()));  // known at once if it cannot be made
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

void GenerateRun::set_text_options() {
  if (!command_.prefix.empty()) options_.output.prefix = tokenizer_->encode(command_.prefix);
  if (command_.stops.empty()) return;
  options_.output.stop = [this](const std::vector<int32_t>& ids) {
    const std::vector<int32_t> own(
        ids.begin() + static_cast<std::ptrdiff_t>(options_.output.prefix.size()), ids.end());
    const std::string text = tokenizer_->decode(own);
    return std::any_of(command_.stops.begin(), command_.stops.end(), [&](const std::string& stop) {
      return text.find(stop) != std::string::npos;
    });
  };
}

std::vector<std::vector<Generation>> GenerateRun::decode(
    const std::vector<std::vector<int32_t>>& inputs, const std::vector<uint64_t>& keys) {
  const std::unique_ptr<StepDecoder> decoder = model_->decoder(inputs);
  return generate(*decoder, keys, options_);
}

std::optional<GenerateRequest> GenerateRun::next_request(LineReader& reader, AnswerOutput& output,
                                                         bool wait) {
  const std::string source = command_.input == "-" ? "standard input" : command_.input;
  while (auto line = wait ? reader.next() : reader.next_if_there()) {
    GenerateRequest request = parse_generate_line(
        line->text, tokenizer(), model_->config().vocab_size, source, line->number);
    if (!output.has(request)) return request;
  }
  return std::nullopt;
}

bool GenerateRun::input_is_file() const {
  return command_.input != "-" && std::filesystem::is_regular_file(command_.input);
}

void GenerateRun::answer_as_they_come(InferenceModel& engine, LineReader& reader,
                                      AnswerOutput& output) {
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

BatchRequest GenerateRun::batch_request(GenerateRequest request, AnswerOutput& output) {
  BatchRequest asked;
  asked.input = request.input_ids;
  asked.output = options_.output;
  asked.max_new_tokens = options_.max_new_tokens;
  if (options_.sample) asked.sample = options_.sampling();
  asked.key = request.line;
  asked.on_done = [this, request = std::move(request), number = output.next_number(),
                   &output](Generation generation) {
    line_.clear();
    output.put(number, answer_line(request, {std::move(generation)}, tokenizer(), answers()));
    show_progress(1);
  };
  return asked;
}

void GenerateRun::answer_in_batches(LineReader& reader, AnswerOutput& output) {
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
    std::string lines;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (i > 0) lines += '\n';
      lines += answer_line(batch[i], generations[i], tokenizer(), answers());
    }
    line_.clear();
    output.put(output.next_number(), std::move(lines));
    show_progress(static_cast<int64_t>(batch.size()));
    stop_if_asked();
  }
}

AnswerOptions GenerateRun::answers() const {
  AnswerOptions options;
  options.fill = command_.fill;
  options.n_best = options_.num_return > 1;
  options.score = options_.beam_search();
  options.token_log_probs = command_.token_log_probs;
  return options;
}

void GenerateRun::show_progress(int64_t lines) {
  done_ += lines;
  line_.show(format("generate  {} lines", format_count(done_)));
}

void GenerateRun::stop_if_asked() const {
  if (stop_signal() != 0) throw runtime_failure("interrupted", command_.input);
}

}  // namespace switchyard
