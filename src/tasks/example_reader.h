// Examples of a task from the files that people have.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "tasks/task.h"

namespace switchyard {

struct ExampleCounts {
  uint64_t examples = 0;
  uint64_t damaged = 0;      // left out, with source.on_damage = "skip"
  std::string first_damage;  // what was wrong with the first of them, and where
};

/// Hands every example of `path` ("-": standard input; gzip and zstandard are recognised) to `use`,
/// in order, until it says false. Throws Error(kUsage) with file, line and field for an example
/// that is damaged, Error(kDamaged) for a damaged compressed file. A JSON value that is not a line
/// of its own is read into memory as a whole.
ExampleCounts read_examples(const Task& task, const std::string& path, ExampleUse use,
                            const std::function<bool(const Example&)>& hand_on);

}  // namespace switchyard
