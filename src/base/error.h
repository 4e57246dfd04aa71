// The one error type. What a user, a file or the machine can cause is thrown as Error with three
// parts: what is wrong, where (file, line, key, offset), what to do. The program prints it as one
// line, `switchyard: error: what; where; what to do`, and ends with exit_code(). Bugs of our own
// are asserted, tensor contracts use TORCH_CHECK.
#pragma once

#include <stdexcept>
#include <string>

namespace switchyard {

enum class ErrorKind {
  kRuntime = 1,  // disk full, out of memory, no permission: anything but the two below
  kUsage = 2,    // wrong command line, recipe, or input that was never valid
  kDamaged = 3,  // data that was valid once: checksum, truncation, inconsistent shards
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string what, std::string where = {}, std::string hint = {});

  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }
  const std::string& what_part() const { return what_; }
  const std::string& where_part() const { return where_; }
  const std::string& hint_part() const { return hint_; }

 private:
  ErrorKind kind_;
  std::string what_, where_, hint_;
};

inline Error usage_error(std::string what, std::string where = {}, std::string hint = {}) {
  return Error(ErrorKind::kUsage, std::move(what), std::move(where), std::move(hint));
}
inline Error damaged_error(std::string what, std::string where = {}, std::string hint = {}) {
  return Error(ErrorKind::kDamaged, std::move(what), std::move(where), std::move(hint));
}
inline Error runtime_failure(std::string what, std::string where = {}, std::string hint = {}) {
  return Error(ErrorKind::kRuntime, std::move(what), std::move(where), std::move(hint));
}
/// An Error for a failed system call: `what` plus the text of `error_number` (errno).
Error system_failure(const std::string& what, const std::string& where, int error_number);

/// The entry of `candidates` closest to `word` in edit distance, or "" when none is near.
template <class Range>
std::string nearest_name(const std::string& word, const Range& candidates);
/// Levenshtein distance between two short words.
int edit_distance(const std::string& a, const std::string& b);

template <class Range>
std::string nearest_name(const std::string& word, const Range& candidates) {
  std::string best;
  int best_distance = static_cast<int>(word.size()) / 2 + 2;
  for (const std::string& candidate : candidates) {
    const int distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace switchyard
