// switchyard score: log-probabilities of given targets, line by line.
#include "commands.h"

#include <filesystem>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/json.h"
#include "base/progress.h"
#include "engine_command.h"
#include "infer/forced_loss.h"
#include "infer/score.h"
#include "lines.h"
#include "model/model_directory.h"
#include "text/tokenizer.h"
#include "train/process_setup.h"
#include "train/run_directory.h"

namespace switchyard {
namespace {

constexpr size_t kBatchesAtOnce = 64;  // sorted by length together

struct ScoreCommand {
  std::string model, input = "-", output = "-";
  int64_t batch_size = 16;
  std::string precision;  // empty: fp32, or the integers of a quantized model
  bool engine = false;
};

/// The model in the form that the command asks for.
class ScoringModel {
 public:
  ScoringModel(const ScoreCommand& command, const std::string& directory) {
    const Computation computation =
        choose_computation(directory, command.engine, command.precision, "fp32");
    if (computation.engine) {
      engine_.emplace(map_weights(directory, computation.precision));
    } else {
      plain_ = load_model(directory, computation.precision);
    }
  }
  const ModelConfig& config() const { return engine_ ? engine_->config() : plain_->config(); }
  std::vector<Score> operator()(const std::vector<ScoreRequest>& requests, int64_t batch_size) {
    return engine_ ? score(*engine_, requests, batch_size) : score(*plain_, requests, batch_size);
  }

 private:
  std::unique_ptr<EncoderDecoder> plain_;
  std::optional<InferenceModel> engine_;
};

/// Turns a line's keys into ids.
class RequestReader {
 public:
  RequestReader(const std::string& directory, int64_t vocab_size)
      : directory_(directory), vocab_size_(vocab_size) {}

  /// The ids under `name` + "_ids", or of the text under `name` with EOS.
  std::vector<int32_t> ids(const nlohmann::ordered_json& line, const std::string& name,
                           const std::string& where) {
    const std::string ids_key = name + "_ids";
    std::vector<int32_t> ids;
    if (line.contains(ids_key)) {
      ids = listed_ids(line.at(ids_key), ids_key, where);
    } else if (line.contains(name) && line.at(name).is_string()) {
      ids = tokenizer(where).encode(line.at(name).get<std::string>());
      ids.push_back(kEosId);
    } else {
      throw usage_error(format("no {} and no text under {}", ids_key, name), where,
                        "give one of them");
    }
    if (ids.empty()) throw usage_error(format("{} is empty", ids_key), where, "give some ids");
    for (const int32_t id : ids) check_id(id, name, where);
    return ids;
  }

 private:
  std::vector<int32_t> listed_ids(const nlohmann::ordered_json& list, const std::string& key,
                                  const std::string& where) const {
    std::vector<int32_t> ids;
    if (!list.is_array()) throw usage_error(key + " is not a list", where, "write [3, 17, 1]");
    for (const auto& id : list) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > 0x7fffffff) {
        throw usage_error(key + " holds something that is no id", where, "write [3, 17, 1]");
      }
      ids.push_back(id.get<int32_t>());
    }
    return ids;
  }

  void check_id(int32_t id, const std::string& name, const std::string& where) const {
    if (id > 0 && id < vocab_size_) return;
    throw usage_error(id == 0
                          ? format("id 0 in {} is padding", name)
                          : format("id {} in {} is beyond the model's {}", id, name, vocab_size_),
                      where, format("give ids from 1 to {}", vocab_size_ - 1));
  }

  const Tokenizer& tokenizer(const std::string& where) {
    if (tokenizer_) return *tokenizer_;
    const std::string path = directory_ + "/" + kTokenizerFile;
    if (!std::filesystem::exists(path)) {
      throw usage_error(format("text, but the model has no {}", kTokenizerFile), where,
                        "give input_ids and target_ids");
    }
    return tokenizer_.emplace(path);
  }

  std::string directory_;
  int64_t vocab_size_;
  std::optional<Tokenizer> tokenizer_;
};

/// Lines read so far, written in order once they are scored.
class Scorer {
 public:
  Scorer(const ScoreCommand& command, const std::string& directory)
      : command_(command),
        model_(command, directory),
        reader_(directory, model_.config().vocab_size) {
    if (command.output != "-") file_.emplace(command.output);
  }

  void add(std::string_view text) {
    ++number_;
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) return;
    const std::string where =
        format("{}:{}", command_.input == "-" ? "standard input" : command_.input, number_);
    lines_.push_back(parse_json<nlohmann::ordered_json>(text, where, ErrorKind::kUsage));
    if (!lines_.back().is_object()) {
      throw usage_error("a line is not a JSON object", where,
                        "write {\"input_ids\": [...], \"target_ids\": [...]}");
    }
    requests_.push_back(
        {reader_.ids(lines_.back(), "input", where), reader_.ids(lines_.back(), "target", where)});
    if (lines_.size() >= kBatchesAtOnce * static_cast<size_t>(command_.batch_size)) flush();
  }

  void finish() {
    flush();
    progress_.clear();
    if (file_) file_->commit();
  }

 private:
  void flush() {
    const std::vector<Score> scores = model_(requests_, command_.batch_size);
    for (size_t i = 0; i < lines_.size(); ++i) {
      lines_[i]["log_prob"] = scores[i].log_prob();
      lines_[i]["token_log_probs"] = scores[i].token_log_probs;
      lines_[i]["num_tokens"] = scores[i].token_log_probs.size();
      write(lines_[i].dump());
    }
    progress_.show(format("score  {} lines", number_));
    lines_.clear();
    requests_.clear();
  }

  void write(const std::string& line) {
    if (file_) {
      file_->write(line + "\n");
    } else {
      print_line(line);
    }
  }

  ScoreCommand command_;
  ScoringModel model_;
  RequestReader reader_;
  std::optional<AtomicFileWriter> file_;
  std::vector<nlohmann::ordered_json> lines_;
  std::vector<ScoreRequest> requests_;
  uint64_t number_ = 0;
  ProgressLine progress_;
};

void run(const ScoreCommand& command, int threads) {
  const std::string directory = find_model_directory(command.model);
  prepare_process(threads);
  Scorer scorer(command, directory);
  for_each_line(command.input, [&](std::string_view line) { scorer.add(line); });
  scorer.finish();
}

}  // namespace

void add_score_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand(
      "score",
      "Log-probabilities (nats) of given targets: adds log_prob, token_log_probs and "
      "num_tokens to each line");
  auto state = std::make_shared<ScoreCommand>();
  command->add_option("--model", state->model, "Model directory, or a run: its newest checkpoint")
      ->required()
      ->option_text("DIR");
  command
      ->add_option("--input", state->input,
                   "JSON objects, one a line, with input_ids or input (text) and target_ids or "
                   "target; text gets EOS; - for standard input")
      ->required()
      ->option_text("FILE");
  command->add_option("--output", state->output, "File to write; - for standard output")
      ->option_text("FILE=-");
  command->add_option("--batch-size", state->batch_size, "Lines of one forward pass")
      ->check(CLI::Range(1, 1 << 16))
      ->option_text("N=16");
  command
      ->add_option("--precision", state->precision,
                   "fp32, bf16-selective or bf16; default: fp32, or a quantized model's integers")
      ->check(CLI::IsMember({"bf16-selective", "bf16", "fp32"}))
      ->option_text("NAME");
  add_engine_flag(*command, state->engine);
  command->callback([state, &global] { run(*state, global.thread_count()); });
}

}  // namespace switchyard
