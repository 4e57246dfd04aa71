// switchyard upcycle: a dense model -> one with experts.
#include "commands.h"

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "base/progress.h"
#include "model/upcycle.h"
#include "train/process_setup.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

struct UpcycleCommand {
  std::string model, output;
  std::vector<std::string> settings;
  UpcycleOptions options;
  bool json = false;
};

void print_result(const UpcycleCommand& command, const UpcycleResult& result) {
  const UpcycleDifference& difference = result.difference;
  fmt::print("{}: {} experts, {} parameters, from {}\n", command.output,
             command.options.moe.num_experts, format_count(result.parameters_after),
             format_count(result.parameters_before));
  fmt::print(
      "against the dense model, on random ids: logits differ by at most {:.3g}, NLP {:.6f} instead "
      "of {:.6f}\n",
      difference.logits, difference.sparse_nlp, difference.dense_nlp);
}

void print_json(const UpcycleCommand& command, const std::string& model,
                const UpcycleResult& result) {
  const nlohmann::ordered_json object = {{"model", model},
                                         {"output", command.output},
                                         {"parameters_before", result.parameters_before},
                                         {"parameters_after", result.parameters_after},
                                         {"largest_logit_difference", result.difference.logits},
                                         {"dense_nlp", result.difference.dense_nlp},
                                         {"sparse_nlp", result.difference.sparse_nlp}};
  fmt::print("{}\n", object.dump());
}

void run(UpcycleCommand& command, int threads) {
  const std::string model = find_model_directory(command.model);
  FieldList fields;
  command.options.moe.list_fields(fields);
  for (const std::string& setting : command.settings) fields.set(setting);
  prepare_process(threads);
  const UpcycleResult result = upcycle_model(model, command.output, command.options);
  if (command.json) {
    print_json(command, model, result);
  } else {
    print_result(command, result);
  }
}

}  // namespace

void add_upcycle_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "upcycle", "A dense model becomes one with experts that starts where the dense one is");
  command->footer(
      "Every expert is a copy of the dense feed-forward, routers are new. The new directory drops "
      "no "
      "token (capacity = \"dropless\") unless --set says otherwise. Train it on with "
      "train.start_from (docs/upcycling.md).");
  auto state = std::make_shared<UpcycleCommand>();
  UpcycleOptions& options = state->options;
  options.moe.capacity = "dropless";
  options.moe.gate = "normalized";
  command
      ->add_option("--model", state->model,
                   "Directory of a dense model, ours or Hugging Face's T5, or a run: its newest "
                   "checkpoint")
      ->required()
      ->option_text("DIR");
  command->add_option("--num-experts", options.moe.num_experts, "Experts of each routed layer")
      ->required()
      ->check(CLI::Range(1, 1 << 20))
      ->option_text("E");
  command->add_option("--output", state->output, "Directory to make")
      ->required()
      ->option_text("DIR");
  command
      ->add_option("--sparse-every", options.moe.sparse_every,
                   "Every n-th block gets experts; 1: all of them")
      ->check(CLI::Range(1, 1 << 20))
      ->option_text("N=2");
  command
      ->add_option("--gate", options.moe.gate,
                   "What experts' outputs are multiplied by: normalized (1, the dense model's "
                   "function), straight_through (1, and the router learns from the loss) or "
                   "probability (p, as transformers computes)")
      ->check(CLI::IsMember({"normalized", "straight_through", "probability"}))
      ->option_text("NAME=normalized");
  command
      ->add_option("--output-scale", options.output_scale,
                   "Experts' second matrix times X; with --gate probability, E makes up for gates "
                   "that start near 1 / E")
      ->check(CLI::Range(1e-3, 1e6))
      ->option_text("X=1");
  command
      ->add_option("--noise", options.noise,
                   "Noise of each expert's weights, over the root of their mean square")
      ->check(CLI::Range(0.0, 10.0))
      ->option_text("X=0");
  command->add_option("--seed", options.seed, "Seed of routers and noise")->option_text("N=1");
  command
      ->add_option("--set", state->settings,
                   "Another setting of model.moe, as router=top2 (train --print-recipe lists them)")
      ->option_text("KEY=VALUE");
  command->add_flag("--json", state->json, "Print the result as JSON");
  command->callback([state, &global] { run(*state, global.thread_count()); });
}

}  // namespace switchyard
