// Lines in, lines out: input of commands that work line by line.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/threads.h"

namespace switchyard {

/// Calls `use` with each line of a file (gzip and zstandard are recognised) or, for "-", of
/// standard input, without its end. Throws Error(kUsage) if it cannot be opened, Error(kRuntime)
/// once `stop` says true while input is waited for.
void for_each_line(const std::string& path, const std::function<void(std::string_view)>& use,
                   const std::function<bool()>& stop = {});

/// A line of the input that is not blank.
struct NumberedLine {
  std::string text;
  uint64_t number;  // from 1, blank ones counted
};

/// Reads the lines of for_each_line() ahead, in a thread of its own, so that those that are there
/// can be worked on while others are waited for.
class LineReader {
 public:
  /// Reads at most `ahead` lines ahead.
  LineReader(const std::string& path, size_t ahead, std::function<bool()> stop = {});
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// Waits for the next line; nothing at the end. Rethrows what reading threw.
  std::optional<NumberedLine> next();
  /// The next line, if it has been read.
  std::optional<NumberedLine> next_if_there() { return lines_.try_pop(); }

 private:
  BoundedQueue<NumberedLine> lines_;
  std::atomic<bool> ended_ = false;
  std::exception_ptr error_;  // set before lines_ is closed, read after
  std::thread thread_;
};

/// One line on standard output. Throws Error if it cannot be written.
void print_line(const std::string& text);

}  // namespace switchyard
