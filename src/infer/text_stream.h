// The text of an output while it grows: what of it can be shown already, and where it stops.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// Pieces joined are the text as a whole, cut off before the first stop sequence. A piece holds
/// whole characters and nothing that may turn out to begin a stop sequence.
class TextStream {
 public:
  /// Stop sequences, none of them empty, are looked for behind the first `fixed_bytes`.
  explicit TextStream(std::vector<std::string> stops, size_t fixed_bytes = 0);

  /// The text so far, decoded as a whole each time; it may end in U+FFFD where a character is not
  /// complete yet. Returns whether a stop sequence is in it, after which nothing counts any more.
  bool update(std::string_view text) { return take_in(text, false); }
  /// No more will come.
  void finish(std::string_view text) { take_in(text, true); }

  /// What can be shown beyond what take() has given.
  std::string_view fresh() const { return std::string_view(shown_).substr(taken_); }
  std::string take();
  /// All that can be shown.
  const std::string& text() const { return shown_; }
  bool stopped() const { return stopped_; }

 private:
  bool take_in(std::string_view text, bool last);
  size_t find_stop(std::string_view text) const;
  /// Bytes at the end that have to wait.
  size_t held_back(std::string_view text) const;

  std::vector<std::string> stops_;
  size_t fixed_bytes_;
  std::string shown_;
  size_t taken_ = 0;
  bool stopped_ = false, finished_ = false;
};

}  // namespace switchyard
