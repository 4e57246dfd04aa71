// switchyard inspect: what is in a model directory, a run or prepared data; checks it on request.
#include "commands.h"

#include <memory>

#include "base/format.h"
#include "base/progress.h"
#include "train/inspection.h"

namespace switchyard {
namespace {

struct InspectCommand {
  std::string path;
  InspectOptions options;
  bool json = false;
};

/// "key  value" lines; an object's keys are indented below its name, of a list of objects each is
/// one line.
void print(const nlohmann::ordered_json& report, int indent) {
  for (const auto& [key, value] : report.items()) {
    if (value.is_object() && key != "stored_types") {
      fmt::print("{:{}}{}\n", "", indent, key);
      print(value, indent + 2);
    } else if (value.is_array() && !value.empty() && value.front().is_object()) {
      fmt::print("{:{}}{}\n", "", indent, key);
      for (const auto& item : value) fmt::print("{:{}}{}\n", "", indent + 2, item.dump());
    } else if (key.ends_with("bytes")) {
      fmt::print("{:{}}{:<24} {}\n", "", indent, key, format_bytes(value.get<double>()));
    } else if (value.is_number_integer()) {
      fmt::print("{:{}}{:<24} {}\n", "", indent, key, format_count(value.get<int64_t>()));
    } else {
      fmt::print("{:{}}{:<24} {}\n", "", indent, key,
                 value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
}

void run(const InspectCommand& command) {
  const nlohmann::ordered_json report = inspect(command.path, command.options);
  if (command.json) {
    fmt::print("{}\n", report.dump());
  } else {
    print(report, 0);
  }
}

}  // namespace

void add_inspect_command(CLI::App& app, const GlobalOptions&) {
  CLI::App* command =
      app.add_subcommand("inspect", "What is in a model directory, a run or prepared data");
  auto state = std::make_shared<InspectCommand>();
  command->add_option("PATH", state->path, "Model directory, checkpoint, run or prepared data")
      ->required()
      ->option_text("DIR");
  command->add_flag("--verify", state->options.verify,
                    "Read everything and hold it against its checksums");
  command->add_flag("--tensors", state->options.tensors, "List every stored tensor of a model");
  command->add_flag("--json", state->json, "Print the result as JSON");
  command->callback([state] { run(*state); });
}

}  // namespace switchyard
