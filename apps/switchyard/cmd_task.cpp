// switchyard task: what the tasks are, examples as text to text, metrics of answers.
#include "commands.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "lines.h"
#include "tasks/example_reader.h"

namespace switchyard {
namespace {

using nlohmann::ordered_json;

struct TaskCommand {
  std::string task, input, predictions;
  std::vector<std::string> metrics;
  uint64_t examples = 3;
  bool by_group = false, for_training = false, json = false;
};

void list_tasks(bool json) {
  for (const std::string& name : ready_tasks()) {
    const Task task = load_task(name);
    const TaskConfig& config = task.config();
    if (json) {
      print_line(ordered_json{{"task", name},
                              {"description", config.description},
                              {"files", config.source.files},
                              {"metrics", task.metric_names()}}
                     .dump());
    } else {
      print_line(
          format("{:<18} {} [{}]", name, config.description, fmt::join(task.metric_names(), ", ")));
    }
  }
}

void show(const TaskCommand& command) {
  const Task task = load_task(command.task);
  const ExampleUse use = command.for_training ? ExampleUse::kTraining : ExampleUse::kEvaluation;
  uint64_t shown = 0;
  read_examples(task, command.input, use, [&](const Example& example) {
    ++shown;
    if (command.json) {
      ordered_json line = {{"input", example.input},
                           {"target", example.target},
                           {"references", example.wanted.references}};
      if (!example.wanted.group.empty()) line["group"] = example.wanted.group;
      if (!example.wanted.context.empty()) line["context"] = example.wanted.context;
      print_line(line.dump());
    } else {
      print_line(format("input   {}\ntarget  {}", example.input, example.target));
      if (example.wanted.references.size() > 1) {
        print_line(format("right   {}", fmt::join(example.wanted.references, " | ")));
      }
      print_line("");
    }
    return command.examples == 0 || shown < command.examples;
  });
}

std::string place_of(const std::string& path, uint64_t line) {
  return format("{}:{}", path == "-" ? "standard input" : path, line);
}

/// Calls `use` with each line, an object, and its place.
void for_each_object(const std::string& path,
                     const std::function<void(const nlohmann::json&, const std::string&)>& use) {
  uint64_t number = 0;
  for_each_line(path, [&](std::string_view text) {
    ++number;
    if (text.find_first_not_of(" \t\r") == text.npos) return;
    const std::string where = place_of(path, number);
    const auto line = parse_json(text, where, ErrorKind::kUsage);
    if (!line.is_object()) throw usage_error("a line is not a JSON object", where);
    use(line, where);
  });
}

std::string text_at(const nlohmann::json& line, const char* key, const std::string& where) {
  if (line.contains(key) && line.at(key).is_string()) return line.at(key).get<std::string>();
  throw usage_error(format("no text under {}", key), where);
}

/// Everything that a metric takes.
struct Answers {
  std::vector<MetricTarget> targets;
  std::vector<std::string> predictions, labels;
};

void add_target(const nlohmann::json& line, const std::string& where, Answers& answers) {
  MetricTarget target;
  if (line.contains("references") && line.at("references").is_array()) {
    for (const auto& text : line.at("references")) {
      if (!text.is_string()) throw usage_error("references that are no texts", where);
      target.references.push_back(text.get<std::string>());
    }
  } else {
    target.references = {text_at(line, "target", where)};
  }
  if (line.contains("group")) target.group = text_at(line, "group", where);
  if (line.contains("context")) target.context = text_at(line, "context", where);
  answers.targets.push_back(std::move(target));
}

/// With a task, targets come from its file; without, from lines as `task show --json` writes them.
Answers read_answers(const TaskCommand& command, const std::optional<Task>& task) {
  Answers answers;
  if (task) {
    answers.labels = task->labels();
    read_examples(*task, command.input, ExampleUse::kEvaluation, [&](const Example& example) {
      answers.targets.push_back(example.wanted);
      return true;
    });
  } else {
    for_each_object(command.input, [&](const nlohmann::json& line, const std::string& where) {
      add_target(line, where, answers);
      if (command.predictions.empty()) {
        answers.predictions.push_back(text_at(line, "output", where));
      }
    });
  }
  if (!command.predictions.empty()) {
    for_each_object(command.predictions, [&](const nlohmann::json& line, const std::string& where) {
      answers.predictions.push_back(text_at(line, "output", where));
    });
  }
  return answers;
}

ordered_json as_json(const Scores& scores) {
  ordered_json object = ordered_json::object();
  for (const auto& [name, value] : scores) object[name] = value;
  return object;
}

void score(const TaskCommand& command) {
  std::optional<Task> task;
  if (!command.task.empty()) task.emplace(load_task(command.task));
  std::vector<std::string> names = command.metrics;
  if (names.empty() && task) names = task->metric_names();
  if (names.empty()) {
    throw usage_error("nothing to measure", "command line", "give --task or --metric");
  }
  if (task && command.predictions.empty()) {
    throw usage_error("no predictions", "command line", "give --predictions FILE");
  }
  const Answers answers = read_answers(command, task);
  const MetricInput input = {answers.targets, answers.predictions, answers.labels};
  ordered_json result = {{"examples", answers.targets.size()}};
  if (task) result["task"] = task->name();
  ordered_json by_group = ordered_json::object();
  for (const std::string& name : names) {
    const Metric& metric = find_metric(name);
    const Scores scores = compute_metric(metric, input);
    result["metrics"][name] = as_json(scores);
    if (!command.json) {
      for (const auto& [label, value] : scores) {
        print_line(format("{:<20} {:<18} {:7.2f}", name, label, value));
      }
    }
    if (!command.by_group) continue;
    for (const auto& [group, own] : scores_by_group(metric, input)) {
      by_group[group][name] = as_json(own);
      if (command.json) continue;
      for (const auto& [label, value] : own) {
        print_line(format("  {:<18} {:<18} {:7.2f}", group, label, value));
      }
    }
  }
  if (command.by_group) result["groups"] = std::move(by_group);
  if (command.json) {
    print_line(result.dump());
  } else {
    print_line(format("{} examples", answers.targets.size()));
  }
}

void add_show(CLI::App& parent, const std::shared_ptr<TaskCommand>& state) {
  CLI::App* command = parent.add_subcommand("show", "Examples of a file as text to text");
  command->add_option("task", state->task, "Name of a task, or a .toml file")
      ->required()
      ->option_text("TASK");
  command->add_option("--input", state->input, "File in the task's layout; - for standard input")
      ->required()
      ->option_text("FILE");
  command->add_option("--examples", state->examples, "How many; 0: all")->option_text("N=3");
  command->add_flag("--for-training", state->for_training,
                    "As trained on, where that differs from evaluation");
  command->add_flag(
      "--json", state->json,
      "JSON lines with input, target and references: input for `generate` and `score`");
  command->callback([state] { show(*state); });
}

void add_score(CLI::App& parent, const std::shared_ptr<TaskCommand>& state) {
  CLI::App* command = parent.add_subcommand("score", "Metrics of predictions");
  command->add_option("--task", state->task, "Name of a task, or a .toml file")
      ->option_text("TASK");
  command
      ->add_option("--input", state->input,
                   "File in the task's layout; without --task JSON lines with target or references "
                   "(and output, without --predictions)")
      ->required()
      ->option_text("FILE");
  command
      ->add_option(
          "--predictions", state->predictions,
          "JSON lines with output, one for each example in order, as `generate` writes them")
      ->option_text("FILE");
  command->add_option("--metric", state->metrics, "Metrics; default: the task's")
      ->option_text("NAME...");
  command->add_flag("--by-group", state->by_group, "Each group by itself, too");
  command->add_flag("--json", state->json, "Print the result as JSON");
  command->callback([state] { score(*state); });
}

}  // namespace

void add_task_command(CLI::App& app, const GlobalOptions&) {
  CLI::App* command =
      app.add_subcommand("task", "Tasks for fine-tuning: what they read, and metrics");
  command->require_subcommand(1);
  auto state = std::make_shared<TaskCommand>();
  CLI::App* list = command->add_subcommand("list", "Tasks that come with the program");
  list->add_flag("--json", state->json, "JSON lines");
  list->callback([state] { list_tasks(state->json); });
  add_show(*command, state);
  add_score(*command, state);
}

}  // namespace switchyard
