// The program `switchyard`: parses the command line, runs one subcommand, turns errors into one
// line on stderr and an exit code: 0 done, 2 usage or bad input, 3 damaged data, 1 anything else.
#include "commands.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file_faults.h"
#include "base/format.h"
#include "base/log.h"
#include "base/threads.h"

namespace switchyard {
namespace {

constexpr auto kCommands = {
    add_tokenizer_command, add_prepare_command,  add_train_command,    add_eval_command,
    add_score_command,     add_generate_command, add_quantize_command, add_report_command,
    add_inspect_command,   add_serve_command,    add_task_command,     add_bench_command,
    add_doctor_command,    add_plan_command,     add_upcycle_command,
};

int report(const Error& error) {
  std::fprintf(stderr, "switchyard: error: %s\n", error.what());
  return error.exit_code();
}

/// The deepest subcommand named on the command line.
const CLI::App& chosen_command(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

/// A command line that does not parse, with the nearest known name or the place of the help.
Error parse_failure(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& chosen = chosen_command(app);
  std::vector<std::string> known;
  std::string path;
  for (const CLI::App* at = &chosen; at; at = at->get_parent()) {
    path = format("{}{}{}", at->get_name(), path.empty() ? "" : " ", path);
    for (const CLI::Option* option : at->get_options()) known.push_back(option->get_name());
  }
  const auto commands = chosen.get_subcommands(nullptr);
  for (const CLI::App* command : commands) known.push_back(command->get_name());

  std::string what = error.what();
  std::string hint = format("see `{} --help`", path);
  const std::vector<std::string> unknown = app.remaining(true);
  if (!unknown.empty()) {
    // CLI11 may have missed what was meant by a misspelt name first, or list the values too.
    const auto option = std::find_if(unknown.begin(), unknown.end(), [](const std::string& word) {
      return word.starts_with("--");
    });
    const std::string& wrong = option == unknown.end() ? unknown.front() : *option;
    if (option != unknown.end()) {
      what = format("unknown option '{}'", wrong);
    } else if (!commands.empty()) {
      what = format("unknown command '{}'", wrong);
    }
    const std::string near = nearest_name(wrong, known);
    if (!near.empty()) hint = format("did you mean '{}'? {}", near, hint);
  }
  return usage_error(what, "command line", hint);
}

/// Results on stdout may still sit in a buffer: a full disk must not pass as success.
void flush_stdout() {
  if (std::fflush(stdout) != 0) throw system_failure("cannot write", "standard output", errno);
}

void add_global_options(CLI::App& app, GlobalOptions& global) {
  app.set_version_flag("--version", "switchyard " SWITCHYARD_VERSION);
  app.add_option("--threads", global.threads, "Threads to use (0: all available cores)")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  const std::map<std::string, LogLevel> levels = {{"debug", LogLevel::kDebug},
                                                  {"info", LogLevel::kInfo},
                                                  {"warning", LogLevel::kWarning},
                                                  {"error", LogLevel::kError},
                                                  {"off", LogLevel::kOff}};
  app.add_option_function<std::string>(
         "--log-level", [levels](const std::string& name) { set_log_level(levels.at(name)); },
         "What to log on stderr: debug, info, warning, error or off")
      ->check(CLI::IsMember(levels))
      ->option_text("LEVEL")
      ->trigger_on_parse();
}

/// For tests of crashes and full disks: SWITCHYARD_FILE_FAULT as parse_file_fault() reads it.
std::unique_ptr<FileFaults> file_faults_of_environment() {
  const char* fault = std::getenv("SWITCHYARD_FILE_FAULT");
  if (!fault) return nullptr;
  return std::make_unique<FileFaults>(parse_file_fault(fault), FileFaults::Crash::kKill);
}

int run(int argc, char** argv) {
  CLI::App app(
      "Trains, evaluates and runs Switch Transformers: T5-like models with sparse experts.",
      "switchyard");
  app.require_subcommand(1);
  app.fallthrough();  // global options may follow the subcommand
  app.failure_message(CLI::FailureMessage::simple);
  app.footer("`switchyard COMMAND --help` explains one command.");
  GlobalOptions global;
  add_global_options(app, global);
  for (const auto add_command : kCommands) add_command(app, global);
  try {
    app.parse(argc, argv);
    flush_stdout();
  } catch (const ExitCode& exit) {
    flush_stdout();
    return exit.code;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
    throw parse_failure(app, error);
  }
  return 0;
}

}  // namespace

int GlobalOptions::thread_count() const { return threads > 0 ? threads : available_cores(); }

}  // namespace switchyard

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error of write(), told like others
  try {
    const auto faults = switchyard::file_faults_of_environment();
    return switchyard::run(argc, argv);
  } catch (const switchyard::Error& error) {
    return switchyard::report(error);
  } catch (const std::bad_alloc&) {
    return switchyard::report(switchyard::runtime_failure(
        "out of memory", "", "use smaller batches or models, or a machine with more memory"));
  } catch (const std::exception& error) {
    return switchyard::report(switchyard::runtime_failure(error.what()));
  }
}
