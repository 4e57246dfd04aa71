// switchyard tokenizer train | encode | decode: SentencePiece models with T5's ids.
#include "commands.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/progress.h"
#include "data/document_parser.h"
#include "data/input_groups.h"
#include "lines.h"
#include "read_options.h"
#include "text/balanced_sample.h"
#include "text/line_sampler.h"
#include "text/tokenizer.h"
#include "text/tokenizer_training.h"

namespace switchyard {
namespace {

struct TrainCommand {
  ReadOptions read;
  TokenizerTraining training;
  std::string output;
  uint64_t sentences = 0;
  uint64_t sample_megabytes = 64;
  uint64_t seed = 0;
  std::optional<double> balance;
};

/// Offers all lines of the inputs to the sampler.
void read_lines(const ReadOptions& options, LineSampler& sampler, ProgressLine& line) {
  RecordReader reader(options);
  const DocumentParser parser(options);
  ReadCounts counts;
  std::vector<std::string> notes;
  RecordBatch batch;
  while (reader.next(batch)) {
    parser.parse(
        batch, [&](std::string_view text) { sampler.add(text); }, counts, notes);
    line.show(format("tokenizer train  reading: {} lines",
                     format_count(static_cast<long long>(sampler.lines_seen()))));
  }
  if (sampler.lines_seen() == 0) {
    throw usage_error("no text in the input", options.inputs.front(),
                      "left out: " + counts.left_out_text());
  }
}

/// Lines of each language, so many that small ones teach the vocabulary too. Reads all twice: what
/// to take of a language depends on the sizes of all.
std::vector<std::string> read_balanced(const TrainCommand& command, ProgressLine& line) {
  std::vector<ReadOptions> languages;
  std::vector<uint64_t> bytes;
  for (const InputGroup& group : group_inputs(command.read.inputs)) {
    languages.push_back(command.read);
    languages.back().inputs = group.inputs;
    LineSampler counter(/*max_bytes=*/0, 0, command.seed);
    read_lines(languages.back(), counter, line);
    bytes.push_back(counter.bytes_seen());
  }
  const std::vector<uint64_t> sizes =
      balanced_sizes(bytes, *command.balance, command.sample_megabytes << 20);
  std::vector<std::string> sample;
  for (size_t i = 0; i < languages.size(); ++i) {
    LineSampler sampler(sizes[i], 0, command.seed);
    read_lines(languages[i], sampler, line);
    std::vector<std::string> lines = sampler.take();
    if (sizes[i] > bytes[i]) lines = repeat_lines(lines, sizes[i]);
    std::move(lines.begin(), lines.end(), std::back_inserter(sample));
  }
  return sample;
}

/// A sample of the input's lines, small enough for SentencePiece's trainer.
std::vector<std::string> read_sample(const TrainCommand& command) {
  ProgressLine line;
  std::vector<std::string> sample;
  if (command.balance) {
    sample = read_balanced(command, line);
  } else {
    LineSampler sampler(command.sample_megabytes << 20, command.sentences, command.seed);
    read_lines(command.read, sampler, line);
    sample = sampler.take();
  }
  line.show("tokenizer train  making the vocabulary", true);
  return sample;
}

void add_train(CLI::App& tokenizer) {
  CLI::App* command = tokenizer.add_subcommand("train", "Make a SentencePiece model from text");
  auto state = std::make_shared<TrainCommand>();
  TokenizerTraining& training = state->training;
  add_read_options(*command, state->read);
  command
      ->add_option("--vocab-size", training.vocab_size,
                   "All ids, the 100 sentinels included: 8192 makes a model of 8092 pieces")
      ->required()
      ->check(CLI::Range(104, 1 << 20))
      ->option_text("N");
  command->add_option("--output", state->output, "Model file to write, such as spiece.model")
      ->required()
      ->option_text("FILE");
  command->add_option("--model-type", training.model_type, "unigram (T5's) or bpe")
      ->check(CLI::IsMember({"unigram", "bpe"}))
      ->option_text("NAME=unigram");
  command
      ->add_option("--character-coverage", training.character_coverage,
                   "Share of characters with a piece of their own; the rest is unknown")
      ->check(CLI::Range(0.98, 1.0))
      ->option_text("X=0.9995");
  command->add_flag("--byte-fallback", training.byte_fallback,
                    "Write unknown characters as bytes (takes 256 pieces)");
  CLI::Option* const balance =
      command
          ->add_option("--balance", state->balance,
                       "Several languages, by the inputs' names up to the first dot: take of each "
                       "in proportion to its bytes to this power, 1 as they are, 0 all alike")
          ->check(CLI::Range(0.0, 1.0))
          ->option_text("X");
  command
      ->add_option("--input-sentences", state->sentences,
                   "Train on a random sample of at most N lines (0: no limit but --sample-mib)")
      ->excludes(balance)
      ->option_text("N=0");
  command
      ->add_option("--sample-mib", state->sample_megabytes,
                   "Train on a random sample of lines of at most N MiB; training takes some 25 "
                   "times as much memory")
      ->check(CLI::Range(1, 65536))
      ->option_text("N=64");
  command->add_option("--seed", state->seed, "Seed of the sample")->option_text("N=0");
  command->add_flag("--verbose", training.verbose, "Show SentencePiece's own log");
  command->callback([state] {
    // A place that cannot be written: known at once. Nothing stays there while the work is done.
    { const AtomicFileWriter file(state->output); }
    const Clock::time_point start = Clock::now();
    std::vector<std::string> sample = read_sample(*state);
    const auto lines = static_cast<long long>(sample.size());
    write_file(state->output, train_tokenizer(state->training, std::move(sample)));
    fmt::print("{} is ready: {} ids, the 100 sentinels included, from {} lines of text in {}\n",
               state->output, format_count(state->training.vocab_size), format_count(lines),
               format_duration(seconds_since(start)));
  });
}

struct CodingCommand {
  std::string model, input = "-";
  bool json = false, pieces = false;
};

void encode_line(const Tokenizer& tokenizer, const CodingCommand& command, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text);
  std::vector<std::string> pieces;
  if (command.pieces) {
    for (const int32_t id : ids) pieces.push_back(tokenizer.piece(id));
  }
  if (command.json) {
    nlohmann::ordered_json object = {{"ids", ids}};
    if (command.pieces) object["pieces"] = pieces;
    // A hostile model's pieces may be any bytes.
    print_line(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    print_line(command.pieces ? format("{}", fmt::join(pieces, " "))
                              : format("{}", fmt::join(ids, " ")));
  }
}

/// Numbers beyond all ids must not wrap into one.
int32_t clamp_id(int64_t id) {
  return static_cast<int32_t>(std::clamp<int64_t>(id, -1, std::numeric_limits<int32_t>::max()));
}

std::vector<int32_t> parse_ids(std::string_view text, uint64_t line) {
  const auto failure = [&] {
    return usage_error("a line is not a list of ids", format("line {}", line),
                       "write `3 17 1`, or {\"ids\": [3, 17, 1]}");
  };
  std::vector<int32_t> ids;
  const size_t first = text.find_first_not_of(" \t\r");
  if (first != std::string_view::npos && (text[first] == '{' || text[first] == '[')) {
    const auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const auto list = value.is_object() ? value.value("ids", nlohmann::json()) : value;
    if (!list.is_array()) throw failure();
    for (const auto& id : list) {
      if (!id.is_number_integer()) throw failure();
      ids.push_back(clamp_id(id.get<int64_t>()));
    }
    return ids;
  }
  const std::string line_text(text);
  for (const char* at = line_text.c_str(); *at != '\0';) {
    char* end = nullptr;
    const long id = std::strtol(at, &end, 10);
    if (end == at) {
      if (std::string_view(at).find_first_not_of(" \t\r") != std::string_view::npos)
        throw failure();
      break;
    }
    ids.push_back(clamp_id(id));
    at = end;
  }
  if (line_text.find('\0') != std::string::npos) throw failure();
  return ids;
}

void decode_line(const Tokenizer& tokenizer, const CodingCommand& command, std::string_view text,
                 uint64_t line) {
  const std::string decoded = tokenizer.decode(parse_ids(text, line));
  if (command.json) {
    const nlohmann::ordered_json object = {{"text", decoded}};
    print_line(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    print_line(decoded);
  }
}

CLI::App* add_coding(CLI::App& tokenizer, const std::string& name, const std::string& help,
                     CodingCommand& state) {
  CLI::App* command = tokenizer.add_subcommand(name, help);
  command->add_option("--model", state.model, "SentencePiece model (spiece.model)")
      ->required()
      ->option_text("FILE");
  command->add_option("--input", state.input, "File to read; - for standard input")
      ->option_text("FILE=-");
  command->add_flag("--json", state.json, "Print a JSON object per line");
  return command;
}

void add_encode(CLI::App& tokenizer) {
  auto state = std::make_shared<CodingCommand>();
  CLI::App* command = add_coding(tokenizer, "encode", "Print the ids of each line", *state);
  command->add_flag("--pieces", state->pieces, "Print pieces; with --json, both");
  command->callback([state] {
    const Tokenizer model(state->model);
    for_each_line(state->input, [&](std::string_view line) { encode_line(model, *state, line); });
  });
}

void add_decode(CLI::App& tokenizer) {
  auto state = std::make_shared<CodingCommand>();
  CLI::App* command = add_coding(
      tokenizer, "decode", "Print the text of each line of ids (or JSON as encode prints)", *state);
  command->callback([state] {
    const Tokenizer model(state->model);
    uint64_t number = 0;
    for_each_line(state->input,
                  [&](std::string_view line) { decode_line(model, *state, line, ++number); });
  });
}

}  // namespace

void add_tokenizer_command(CLI::App& app, const GlobalOptions&) {
  CLI::App* command =
      app.add_subcommand("tokenizer", "Make a vocabulary; turn text into ids and ids into text");
  command->require_subcommand(1);
  add_train(*command);
  add_encode(*command);
  add_decode(*command);
}

}  // namespace switchyard
