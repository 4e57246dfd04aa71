// Makes a SentencePiece model with T5's ids from a sample of text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

struct TokenizerTraining {
  int32_t vocab_size = 32100;          // every id, the 100 sentinels included
  std::string model_type = "unigram";  // or "bpe"
  double character_coverage = 0.9995;  // share of characters that get a piece of their own
  bool byte_fallback = false;          // unknown characters become bytes instead of <unk>
  bool verbose = false;                // let SentencePiece log on stderr
};

/// Serialized model of the sentences (UTF-8, one line each). The result is the same for any number
/// of cores. Throws Error(kUsage) when there is no text, or too little text for the vocabulary
/// (naming the largest size possible), or more different characters than the vocabulary holds.
std::string train_tokenizer(const TokenizerTraining& options, std::vector<std::string> sentences);

}  // namespace switchyard
