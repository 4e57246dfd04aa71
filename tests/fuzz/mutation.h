// Random changes to an input, for the driver that is a test. What they know: lengths stand in the
// first bytes of a binary file, and texts are made of brackets, quotes, numbers and words.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard::fuzz {

/// `input` with one to four changes; a function of (input, other, round) alone. `other` is an input
/// that pieces are taken from.
std::string mutate(std::string input, const std::string& other, uint64_t round);

}  // namespace switchyard::fuzz
