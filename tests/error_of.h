// What a call throws, for tests that look into the error.
#pragma once

#include <gtest/gtest.h>

#include "base/error.h"

namespace switchyard::testing {

/// Runs `use`, which must throw an Error, and returns it.
template <class Use>
Error error_of(const Use& use) {
  try {
    use();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return runtime_failure("nothing was thrown");
}

}  // namespace switchyard::testing
