// Text for tests of tokenizers and data: sentences of made-up words, the same on every machine.
#pragma once

#include <cstdint>
#include <string>

#include "base/random.h"

namespace switchyard::testing {

/// `paragraphs` sentences of eight words, each followed by a blank line.
inline std::string made_up_text(int paragraphs = 1500, uint64_t seed = 1) {
  const RandomStream random(seed, kRandomTest);
  std::string text;
  uint64_t draw = 0;
  for (int line = 0; line < paragraphs; ++line) {
    for (int word = 0; word < 8; ++word) {
      const uint64_t syllables = 1 + random.below(++draw, 3);
      for (uint64_t s = 0; s < syllables; ++s) {
        text += "bdfgklmnprst"[random.below(++draw, 12)];
        text += "aeiou"[random.below(++draw, 5)];
      }
      text += word == 7 ? ".\n\n" : " ";
    }
  }
  return text;
}

}  // namespace switchyard::testing
