// switchyard generate: the output that a model gives for each input.
#include "commands.h"

#include <unistd.h>

#include <csignal>
#include <memory>

#include "base/error.h"
#include "base/stop_signal.h"
#include "engine_command.h"
#include "generate_run.h"

namespace switchyard {
namespace {

/// A stop signal ends the process as one that nobody handles.
void run_lines(GenerateRun& generate_run) {
  install_stop_handlers();
  try {
    generate_run.run_lines();
  } catch (const Error&) {
    if (stop_signal() != 0) std::raise(stop_signal());  // handled by default now: 128 + signal
    throw;
  }
}

void run(const GenerateCommand& command, int threads) {
  const bool dialog = command.input.empty() && command.text.empty() && command.output.empty() &&
                      ::isatty(STDIN_FILENO) == 1;
  if (!dialog && command.input.empty() == command.text.empty()) {
    throw usage_error("give one of --input and --text", "command line",
                      "see `switchyard generate --help`");
  }
  if (!command.text.empty() && !command.output.empty()) {
    throw usage_error("--output goes with --input", "command line", "--text prints its output");
  }
  GenerateRun generate_run(command, threads);
  if (dialog) {
    generate_run.run_dialog();
  } else if (!command.text.empty()) {
    generate_run.run_text();
  } else {
    run_lines(generate_run);
  }
  generate_run.finish();
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
      "capacity. Without --input and --text, at a terminal, it answers what is typed.");
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
  command
      ->add_option("--precision", state->precision,
                   "bf16-selective, bf16 or fp32. A quantized model computes with its integers in "
                   "bf16-selective, else with what they stand for")
      ->check(CLI::IsMember({"bf16-selective", "bf16", "fp32"}))
      ->option_text("NAME=bf16-selective");
  add_engine_options(*command, state->engine);
  command->add_flag_function(
      "--no-cache", [state](int64_t) { state->cache = false; },
      "Run the decoder over the whole output at each id, with the evaluation capacity over the "
      "batch: slow, to compare");
  command->callback([state, &global] { run(*state, global.thread_count()); });
}

}  // namespace switchyard
