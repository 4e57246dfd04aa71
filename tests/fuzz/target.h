// What all fuzz targets share. A target is one file NAME_fuzz.cpp with LLVMFuzzerTestOneInput: one
// input, which the reader under test must read soundly or refuse with an Error. Two drivers run it:
// libFuzzer (`make fuzz`), and driver.cpp as a test.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace switchyard::fuzz {

/// How inputs ended so far. A run in which all end the same way tests little.
struct Tally {
  uint64_t accepted = 0, refused = 0;
};
inline Tally tally;

/// Ends the process if something does not hold for an input that was read; drivers save the input.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

/// Runs one input: `check(read())`, where `read` may throw Error with a message of one line.
/// Anything else that is thrown ends the process.
template <class Read, class Check>
int run(const Read& read, const Check& check) {
  try {
    const auto value = read();
    ++tally.accepted;
    [&]() noexcept { check(value); }();  // an Error from here is no refusal
  } catch (const Error& error) {
    ++tally.refused;
    require(std::strlen(error.what()) > 0, "an error says nothing");
    require(!std::strchr(error.what(), '\n'), "an error has more than one line");
  }
  return 0;
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace switchyard::fuzz
