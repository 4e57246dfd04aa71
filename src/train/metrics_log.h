// metrics.jsonl: what a run measured, one JSON object a line (docs/formats.md, "Run directory").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/files.h"

namespace switchyard {

/// Appends lines. A line is one write call, so that a killed process leaves at most the last one
/// torn. Not thread-safe.
class MetricsLog {
 public:
  /// Throws Error if the file cannot be opened for appending.
  explicit MetricsLog(const std::string& path) : file_(path) {}

  /// NaN and infinity become null, bytes that are no UTF-8 become U+FFFD. Throws Error if the line
  /// cannot be written.
  void write(const nlohmann::ordered_json& line);
  /// Makes what was written survive a power cut.
  void sync() { file_.sync(); }

 private:
  AppendFile file_;
};

struct MetricsLines {
  std::vector<nlohmann::json>
      lines;            // objects with an integer `step` and a text `kind`, as in the file
  bool torn = false;    // the last line is incomplete: cut off, or being written
  int64_t damaged = 0;  // other lines that are no such object; skipped
};

/// Reads a file of metrics, whatever its state; a file that is not there has no lines. Throws Error
/// if it cannot be read.
MetricsLines read_metrics(const std::string& path);

/// Drops the lines beyond `step` and those that are damaged: a run that goes on from a checkpoint
/// writes them again. -1, of a run that begins once more: events of earlier tries stay. The file is
/// replaced at once or not at all.
void cut_metrics(const std::string& path, int64_t step);

}  // namespace switchyard
