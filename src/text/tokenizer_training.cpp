#include "text/tokenizer_training.h"

#include <sentencepiece_trainer.h>

#include <cstdlib>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "text/tokenizer.h"

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
    return usage_error("vocabulary smaller than the text's set of characters", where,
                       format("give at least {} or lower --character-coverage",
                              least + kNumSentinels));
  }
  return usage_error(format("SentencePiece cannot train: {}", message), where);
}

}  // namespace

std::string train_tokenizer(const TokenizerTraining& options, std::vector<std::string> sentences) {
  if (sentences.empty()) {
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
  const auto status =
      sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
  if (!status.ok()) throw training_failure(status.message(), options);
  return model;
}

}  // namespace switchyard
