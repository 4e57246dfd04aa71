// What `generate` does with a model: answers one text, the lines of a file, or a person.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "answer_output.h"
#include "base/progress.h"
#include "infer/batcher.h"
#include "infer/engine/engine_options.h"
#include "infer/engine/inference_model.h"
#include "infer/generate.h"
#include "infer/generate_lines.h"
#include "infer/step_decoder.h"
#include "lines.h"
#include "model/encoder_decoder.h"
#include "text/tokenizer.h"

namespace switchyard {

struct GenerateCommand {
  std::string model, input, output, text;
  std::string precision = "bf16-selective";
  int64_t batch_size = 16;
  bool fill = false, cache = true, token_log_probs = false;
  EngineOptions engine;
  std::string prefix;
  std::vector<std::string> stops;
  GenerateOptions options;
};

/// The model in the form that decodes fastest: with caches over mapped weights, unless that is not
/// wanted or its router does not go with it.
class LoadedModel {
 public:
  LoadedModel(const std::string& directory, Precision precision, bool cache,
              const EngineOptions& engine);
  const ModelConfig& config() const { return cached_ ? cached_->config() : plain_->config(); }
  /// Null if it decodes without a cache.
  InferenceModel* engine() { return cached_ ? &*cached_ : nullptr; }
  std::unique_ptr<StepDecoder> decoder(const std::vector<std::vector<int32_t>>& inputs);
  void log_expert_memory() const;

 private:
  std::optional<InferenceModel> cached_;
  std::unique_ptr<EncoderDecoder> plain_;
};

class GenerateRun {
 public:
  /// `command` must outlive it. Throws Error(kUsage) for options that do not go with the model.
  GenerateRun(const GenerateCommand& command, int threads);

  /// Prints the outputs for command.text; to a terminal a single one while it grows.
  void run_text();
  /// Answers each line of the input, in their order. Throws Error(kRuntime) after a stop signal.
  void run_lines();
  /// Answers lines typed at a terminal until its end.
  void run_dialog();
  /// Tells what the run took.
  void finish();

 private:
  /// What is given as text, in ids.
  void set_text_options();
  void print_output(const std::string& text, uint64_t key, bool growing);
  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  std::vector<std::vector<Generation>> decode(const std::vector<std::vector<int32_t>>& inputs,
                                              const std::vector<uint64_t>& keys);
  /// The next request whose answer is not there yet. Waits for it if `wait`; then nothing is left
  /// if there is none.
  std::optional<GenerateRequest> next_request(LineReader& reader, AnswerOutput& output, bool wait);
  /// Lines of a file are worth waiting for; those of a pipe may come when earlier ones are
  /// answered.
  bool input_is_file() const;
  /// Lines join and leave the batch at every token.
  void answer_as_they_come(InferenceModel& engine, LineReader& reader, AnswerOutput& output);
  BatchRequest batch_request(GenerateRequest request, AnswerOutput& output);
  void answer_in_batches(LineReader& reader, AnswerOutput& output);
  AnswerOptions answers() const;
  void show_progress(int64_t lines);
  void stop_if_asked() const;

  const GenerateCommand& command_;
  GenerateOptions options_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<LoadedModel> model_;
  ProgressLine line_;
  int64_t done_ = 0;
};

}  // namespace switchyard
