// The subcommands of the program. Each lives in a file of its own, cmd_NAME.cpp, which adds its
// options to the command line and, as the subcommand's callback, runs it. main.cpp lists them all.
// A callback throws switchyard::Error for whatever the user, a file or the machine can cause.
#pragma once

#include <CLI/CLI.hpp>

namespace switchyard {

/// Options of every subcommand. Filled in before a callback runs; outlives it.
struct GlobalOptions {
  int threads = 0;  // --threads; 0: all cores available to the process

  /// Threads to use, >= 1.
  int thread_count() const;
};

/// Thrown by a callback that did its work but must not end with 0: 128 + signal when stopped.
struct ExitCode {
  int code;
};

void add_bench_command(CLI::App& app, const GlobalOptions& global);
void add_doctor_command(CLI::App& app, const GlobalOptions& global);
void add_eval_command(CLI::App& app, const GlobalOptions& global);
void add_generate_command(CLI::App& app, const GlobalOptions& global);
void add_inspect_command(CLI::App& app, const GlobalOptions& global);
void add_plan_command(CLI::App& app, const GlobalOptions& global);
void add_prepare_command(CLI::App& app, const GlobalOptions& global);
void add_quantize_command(CLI::App& app, const GlobalOptions& global);
void add_upcycle_command(CLI::App& app, const GlobalOptions& global);
void add_report_command(CLI::App& app, const GlobalOptions& global);
void add_score_command(CLI::App& app, const GlobalOptions& global);
void add_serve_command(CLI::App& app, const GlobalOptions& global);
void add_task_command(CLI::App& app, const GlobalOptions& global);
void add_tokenizer_command(CLI::App& app, const GlobalOptions& global);
void add_train_command(CLI::App& app, const GlobalOptions& global);

}  // namespace switchyard
