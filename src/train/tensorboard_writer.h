// Writes event files that TensorBoard reads.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/files.h"

namespace switchyard {

/// Each writer makes a new file in `directory`; TensorBoard reads them in the order of their names,
/// which is the order of their making. One writer at a time per directory. Not thread-safe.
class TensorBoardWriter {
 public:
  /// `first_step`: the first step that this writer may write; what earlier files of the directory
  /// hold from there on is dropped by readers (a run that goes on from a checkpoint writes it
  /// again). Throws Error if the directory or the file cannot be made.
  explicit TensorBoardWriter(const std::string& directory, int64_t first_step = 0);

  /// Adds a value, kept as float32. `wall_time`: seconds since 1970, 0 for now. Throws Error if it
  /// cannot be written.
  void scalar(const std::string& tag, int64_t step, double value, double wall_time = 0);
  /// Adds a histogram whose i-th bucket, from i to i + 1, weighs weights[i] >= 0.
  void histogram(const std::string& tag, int64_t step, std::span<const double> weights,
                 double wall_time = 0);
  void sync() { file_.sync(); }

 private:
  AppendFile file_;
};

}  // namespace switchyard
