// A uniform random sample of lines that fits in a given amount of memory, from a stream of any
// size: each line draws a random key, the lines with the smallest keys are kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace switchyard {

/// Not thread-safe. The same lines and seed give the same sample.
class LineSampler {
 public:
  /// Keeps at most `max_bytes` of text and `max_lines` lines (0: no limit of lines).
  LineSampler(uint64_t max_bytes, uint64_t max_lines, uint64_t seed);

  /// Offers the lines of `text`. Blank lines are left out, lines above kMaxLineBytes are cut at
  /// white space.
  void add(std::string_view text);

  /// The sample in the order of the stream; leaves the sampler empty.
  std::vector<std::string> take();

  uint64_t lines_seen() const { return lines_seen_; }
  uint64_t bytes_seen() const { return bytes_seen_; }
  uint64_t bytes_kept() const { return bytes_kept_; }

  static constexpr size_t kMaxLineBytes = 4096;

 private:
  struct Line {
    uint64_t key, index;
    std::string text;
    bool operator<(const Line& other) const { return key < other.key; }
  };

  void add_line(std::string_view line);

  uint64_t max_bytes_, max_lines_;
  RandomStream random_;
  uint64_t threshold_ = ~uint64_t{0};  // lines with keys from here on are not kept
  uint64_t lines_seen_ = 0, bytes_seen_ = 0, bytes_kept_ = 0;
  std::vector<Line> lines_;  // a heap, largest key on top
};

}  // namespace switchyard
