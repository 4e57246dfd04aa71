// SentencePiece models for tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/made_up_text.h"
#include "text/tokenizer_training.h"

namespace switchyard::testing {

/// Lines of made-up words with some letters beyond ASCII, digits and signs.
inline std::vector<std::string> made_up_lines() {
  std::vector<std::string> lines;
  const std::string text = made_up_text(600);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find("\n\n", begin);
    lines.push_back(text.substr(begin, end - begin));
    if (lines.size() % 7 == 0) lines.back() += " \u00e9t\u00e9 1984, (Bata) \"k\u00f6l\"!";
    begin = end + 2;
  }
  return lines;
}

/// A serialized model of `vocab_size` ids, made from those lines.
inline std::string small_model(int32_t vocab_size = 400) {
  TokenizerTraining options;
  options.vocab_size = vocab_size;
  return train_tokenizer(options, made_up_lines());
}

inline std::string varint(size_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(0x80 | (value & 0x7F));
  return bytes + static_cast<char>(value);
}

/// A length-delimited protocol buffer field.
inline std::string proto_field(size_t number, std::string_view content) {
  return varint(number << 3 | 2) + varint(content.size()) + std::string(content);
}

/// A piece to append to a serialized model; type 4 is SentencePiece's USER_DEFINED.
inline std::string proto_piece(std::string_view text, char type = 4) {
  const std::string score("\x15\0\0\0\0", 5);
  return proto_field(1, proto_field(1, text) + score + std::string("\x18") + type);
}

}  // namespace switchyard::testing
