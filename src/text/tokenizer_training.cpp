#include "text/tokenizer_training.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

/// Hands sentences to SentencePiece, which copies them, and lets go of each one after.
class SentenceList : public sentencepiece::SentenceIterator {
 public:
  explicit SentenceList(std::vector<std::string> sentences) : sentences_(std::move(sentences)) {}
  bool done() const override { return at_ >= sentences_.size(); }
  void Next() override { std::string().swap(sentences_[at_++]); }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::vector<std::string> sentences_;
  size_t at_ = 0;
};

/// Whether a character is still there after SentencePiece's normalization, which drops control
/// characters and makes spaces of U+FFFD, U+2581 and white space.
bool survives(uint32_t code) {
  return code > 0x20 && !(code >= 0x7F && code <= 0xA0) && code != 0xAD && code != 0x1680 &&
         !(code >= 0x2000 && code <= 0x200F) && !(code >= 0x2028 && code <= 0x202F) &&
         !(code >= 0x205F && code <= 0x206F) && code != 0x2581 && code != 0x3000 &&
         code != 0xFEFF && code < 0xFFF0;
}

/// Whether SentencePiece's trainer will find anything in `line`. It leaves out lines with U+2585,
/// which it uses itself. Characters above U+FFFF are not counted on.
bool teaches_something(const std::string& line) {
  if (line.find("\u2585") != std::string::npos) return false;
  for (size_t at = 0; at < line.size(); ++at) {
    const auto byte = static_cast<uint8_t>(line[at]);
    if (byte < 0x80) {
      if (survives(byte)) return true;
      continue;
    }
    const size_t length = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    if (length == 4 || at + length > line.size()) continue;
    if (find_invalid_utf8(line.substr(at, length)) != std::string::npos) continue;
    uint32_t code = byte & (length == 2 ? 0x1F : 0x0F);
    for (size_t i = 1; i < length; ++i)
      code = code << 6 | (static_cast<uint8_t>(line[at + i]) & 0x3F);
    if (survives(code)) return true;
  }
  return false;
}

/// The number after `label` in a message of SentencePiece, or -1.
int64_t number_after(std::string_view message, std::string_view label) {
  const size_t at = message.find(label);
  if (at == std::string_view::npos) return -1;
  return std::atoll(std::string(message.substr(at + label.size(), 20)).c_str());
}

/// SentencePiece tells a vocabulary that does not fit only in words.
Error training_failure(const std::string& message, const TokenizerTraining& options) {
  const std::string where = format("--vocab-size {}", options.vocab_size);
  if (const int64_t most = number_after(message, "a value <= "); most >= 0) {
    return usage_error("vocabulary larger than the text allows", where,
                       format("give more text or at most {}", most + kNumSentinels));
  }
  if (const int64_t least = number_after(message, " vs "); least >= 0) {
    return usage_error(
        "vocabulary smaller than the text's set of characters", where,
        format("give at least {} or lower --character-coverage", least + kNumSentinels));
  }
  return usage_error(format("SentencePiece cannot train: {}", message), where);
}

}  // namespace

std::string train_tokenizer(const TokenizerTraining& options, std::vector<std::string> sentences) {
  // The trainer ends the process if no sentence is left after its normalization.
  if (std::none_of(sentences.begin(), sentences.end(), teaches_something)) {
    throw usage_error("no text to train a tokenizer on", "", "give input with some words in it");
  }
  const int32_t num_pieces = options.vocab_size - kNumSentinels;
  if (num_pieces < 4) {
    throw usage_error("vocabulary too small", format("--vocab-size {}", options.vocab_size),
                      format("it counts the {} sentinels: give more", kNumSentinels));
  }
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", options.model_type},
      {"vocab_size", std::to_string(num_pieces)},
      {"character_coverage", format("{}", options.character_coverage)},
      {"byte_fallback", options.byte_fallback ? "true" : "false"},
      {"pad_id", std::to_string(kPadId)},
      {"eos_id", std::to_string(kEosId)},
      {"unk_id", std::to_string(kUnknownId)},
      {"bos_id", "-1"},
      {"max_sentence_length", "1000000"},
      // Sums are split by thread: a fixed number keeps the model the same on every machine.
      {"num_threads", "16"},
      {"minloglevel", options.verbose ? "0" : "3"},
  };
  SentenceList iterator(std::move(sentences));
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
  if (!status.ok()) throw training_failure(status.message(), options);
  return model;
}

}  // namespace switchyard
