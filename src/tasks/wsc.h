// Winograd schemas as T5 writes them.
#pragma once

#include <cstddef>
#include <string>

namespace switchyard {

/// The text with *pronoun* at the word of number `index`, from 0, words parted by spaces. Where
/// that word is another, as in two of SuperGLUE's schemas, the nearest one that is the pronoun;
/// what stands behind it within the word goes behind a space. Throws Error(kUsage) if it is
/// nowhere.
std::string marked_pronoun(const std::string& text, size_t index, const std::string& pronoun);

}  // namespace switchyard
