// switchyard report: run directories -> one self-contained HTML page, and a table on stdout.
#include "commands.h"

#include <memory>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/machine.h"
#include "report/finetuning_tables.h"
#include "report/page.h"
#include "report/page_data.h"
#include "report/table.h"

namespace switchyard {
namespace {

struct ReportCommand {
  std::vector<std::string> runs;
  std::string output;
  std::string baseline;
  bool json = false;
};

void run(const ReportCommand& command) {
  std::string output = command.output;
  if (output.empty() && command.runs.size() > 1) {
    throw usage_error("several runs, and no place for the page", "--output",
                      "name an HTML file to write");
  }
  const std::vector<RunData> runs = load_runs(command.runs);
  const Comparison comparison = compare(runs, command.baseline);
  if (output.empty()) output = command.runs.front() + "/report.html";
  write_file(output, make_page(runs, comparison, SWITCHYARD_VERSION, utc_time()));
  for (const std::string& warning : comparison.warnings) log_warning("{}", warning);
  if (command.json) {
    nlohmann::ordered_json results = results_json(runs, comparison);
    results["output"] = output;
    fmt::print("{}\n",
               results.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return;
  }
  fmt::print("{}\n", main_table(runs, comparison).to_text());
  for (const Table& table : {task_table(runs, comparison), distillation_table(runs, comparison)}) {
    if (!table.rows.empty()) fmt::print("{}\n", table.to_text());
  }
  fmt::print("page in {}\n", output);
}

}  // namespace

void add_report_command(CLI::App& app, const GlobalOptions&) {
  CLI::App* command = app.add_subcommand(
      "report", "Compare runs: curves, speed-up to equal quality, router health; one HTML page");
  auto state = std::make_shared<ReportCommand>();
  command->add_option("runs", state->runs, "Run directories, as train makes them")
      ->required()
      ->option_text("RUN...");
  command
      ->add_option("--output", state->output,
                   "Page to write; default with one run: RUN/report.html")
      ->option_text("FILE");
  command
      ->add_option("--baseline", state->baseline,
                   "Run or group to compare with; default: the first dense run, else the first")
      ->option_text("NAME");
  command->add_flag("--json", state->json, "Print the numbers as JSON");
  command->callback([state] { run(*state); });
}

}  // namespace switchyard
