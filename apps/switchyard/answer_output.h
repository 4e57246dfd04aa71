// Answers to the lines of `generate`, in the order of the lines, to standard output or to a file
// that an interrupted run of the same command can go on with.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/resumable_lines.h"
#include "infer/generate_lines.h"

namespace switchyard {

/// Not thread-safe.
class AnswerOutput {
 public:
  /// `path` empty or "-": standard output. `job`: as ResumableLines'.
  AnswerOutput(const std::string& path, const std::string& job);

  /// Whether the answer to this line, the next one of the input, is there from an earlier run.
  bool has(const GenerateRequest& request);
  /// The number of the next line, or lines that belong together, to answer.
  uint64_t next_number() { return next_number_++; }
  /// Takes the answer to a line, or those to lines that belong together, one below the other: an
  /// interrupted run has all of them or none. Written when those before it are.
  void put(uint64_t number, std::string answer);
  /// Answers that wait for one before them.
  size_t waiting() const { return waiting_.size(); }
  void tell_what_is_kept() const;
  /// All answers are there.
  void commit();

 private:
  void write(const std::string& answer);

  std::optional<ResumableLines> file_;
  std::map<uint64_t, std::string> waiting_;
  uint64_t next_number_ = 0, written_ = 0;
  long long lines_ = 0;  // of what was written
  bool looking_ = true;  // whether answers of an earlier run may be left
};

}  // namespace switchyard
