// A progress line on stderr, redrawn in place; silent unless stderr is a terminal.
#pragma once

#include <chrono>
#include <string>

namespace switchyard {

class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Redraws with `text`, at most ten times a second unless `force`.
  void show(const std::string& text, bool force = false);
  /// Erases the line, so that a log line can be printed.
  void clear();
  bool visible() const { return terminal_; }

 private:
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

/// "3 s", "4 min 05 s", "2 h 03 min".
std::string format_duration(double seconds);
/// "512 B", "3.4 MiB", "2.1 GiB".
std::string format_bytes(double bytes);
/// "1,234,567".
std::string format_count(long long value);

}  // namespace switchyard
