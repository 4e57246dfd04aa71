// switchyard prepare: text -> prepared data.
#include "commands.h"

#include <csignal>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "data/prepare.h"
#include "data/prepare_each.h"
#include "read_options.h"

namespace switchyard {
namespace {

struct PrepareCommand {
  PrepareOptions options;
  bool each = false;
  bool json = false;
};

std::string describe(const Manifest& manifest) {
  return format("{} tokens in {} documents", format_count(static_cast<long long>(manifest.tokens)),
                format_count(static_cast<long long>(manifest.documents)));
}

void print_summary(const PrepareSummary& summary, const std::string& output) {
  const double megabytes = static_cast<double>(summary.read.bytes) / 1e6;
  fmt::print("train       {}\n", describe(summary.train));
  if (summary.validation) fmt::print("validation  {}\n", describe(*summary.validation));
  fmt::print("left out    {}\n", summary.read.left_out_text());
  if (summary.read.invalid_utf8_replaced > 0) {
    fmt::print("mended      {} with invalid UTF-8\n", summary.read.invalid_utf8_replaced);
  }
  if (summary.read.split_documents > 0) {
    fmt::print("cut         {} times in documents that were too long\n",
               summary.read.split_documents);
  }
  const double own = megabytes - static_cast<double>(summary.taken_up_bytes) / 1e6;
  fmt::print("{} is ready: {:.1f} MB of text, {:.1f} MB of it in {} ({:.1f} MB/s)\n", output,
             megabytes, own, format_duration(summary.seconds), own / summary.seconds);
}

void warn_without_validation(const PrepareSummary& summary, const std::string& what) {
  if (!summary.validation || summary.validation->tokens > 0) return;
  log_warning(
      "no document{} fell to the validation split: give more text or a larger "
      "--validation-share",
      what);
}

void print_languages(const std::vector<PreparedLanguage>& languages, const std::string& output) {
  for (const auto& [name, was_ready, summary] : languages) {
    fmt::print("{:<8} {:>13} + {:>11} tokens held out{}\n", name,
               format_count(static_cast<long long>(summary.train.tokens)),
               format_count(static_cast<long long>(summary.validation ? summary.validation->tokens
                                                                      : uint64_t{0})),
               was_ready ? "  (was ready)" : "");
  }
  fmt::print("{} is ready: {} languages\n", output, languages.size());
}

void run(const PrepareCommand& command) {
  install_stop_handlers();
  ProgressLine line;
  const auto show = [&](const std::string& name, const PrepareProgress& at) {
    const auto share = at.total_bytes > 0
                           ? format("{:3.0f} %  ", 100.0 * static_cast<double>(at.consumed_bytes) /
                                                       static_cast<double>(at.total_bytes))
                           : std::string();
    line.show(format("prepare  {}{}{} documents  {} tokens", name, share,
                     format_count(static_cast<long long>(at.documents)),
                     format_count(static_cast<long long>(at.tokens))));
  };
  PrepareSummary summary;
  std::vector<PreparedLanguage> languages;
  try {
    if (command.each) {
      languages = prepare_each(
          command.options, [&](const std::string& name, const auto& at) { show(name + "  ", at); });
    } else {
      summary = prepare(command.options, [&](const auto& at) { show("", at); });
    }
  } catch (const Error&) {
    line.clear();
    if (stop_signal() != 0) std::raise(stop_signal());  // handled by default now: 128 + signal
    throw;
  }
  line.clear();
  if (command.each) {
    for (const PreparedLanguage& language : languages) {
      warn_without_validation(language.summary, " of " + language.name);
    }
  } else {
    warn_without_validation(summary, "");
  }
  if (command.json) {
    fmt::print("{}\n", (command.each ? languages_json(languages) : summary.to_json()).dump());
  } else if (command.each) {
    print_languages(languages, command.options.output);
  } else {
    print_summary(summary, command.options.output);
  }
}

}  // namespace

void add_prepare_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "prepare", "Turn text into token ids for training: mapped shards, split for validation");
  auto state = std::make_shared<PrepareCommand>();
  PrepareOptions& options = state->options;
  add_read_options(*command, options.read);
  command->add_option("--tokenizer", options.tokenizer, "SentencePiece model (spiece.model)")
      ->required()
      ->option_text("FILE");
  command
      ->add_option("--output", options.output, "Folder to make, with train/ and validation/ in it")
      ->required()
      ->option_text("DIR");
  command
      ->add_option("--validation-share", options.validation_share,
                   "Share of documents held out for validation, chosen by a hash of their text")
      ->check(CLI::Range(0.0, 0.99))
      ->option_text("X=0.01");
  command->add_flag("--each", state->each,
                    "Several languages: each input's name up to the first dot is a language, which "
                    "gets prepared data of its own in DIR/NAME; inputs of one name go together");
  command->add_option("--split-seed", options.split_seed, "Another seed makes another split")
      ->option_text("N=0");
  command->add_option("--shard-tokens", options.shard_tokens, "Tokens of one shard file, about")
      ->check(CLI::Range(uint64_t{1} << 10, uint64_t{1} << 40))
      ->option_text("N=134217728");
  command->add_flag("--overwrite", options.overwrite, "Replace prepared data in the output folder");
  command->add_flag("--json", state->json, "Print the summary as JSON");
  command->callback([state, &global] {
    state->options.threads = global.thread_count();
    state->options.read.stop = [] { return stop_signal() != 0; };
    run(*state);
  });
}

}  // namespace switchyard
