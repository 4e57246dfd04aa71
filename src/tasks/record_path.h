// Where a value lies in a nested record: "question.choices[].text".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace switchyard {

/// The values around an example, outermost first: the file's record and each element of a list that
/// was entered on the way to the example. A path is looked up in the innermost first.
using Scopes = std::vector<const nlohmann::json*>;

/// Keys with dots between them; "[]" behind a key goes into each element of its list. "../" in
/// front leaves the innermost scope out. Thread-safe once made.
class RecordPath {
 public:
  /// Throws Error(kUsage) naming `where` for a path with an empty key.
  RecordPath(std::string_view text, const std::string& where);

  /// The value, a list where the path has "[]"; nothing where it is not there in any scope.
  std::optional<nlohmann::json> find(const Scopes& scopes) const;
  /// Every place that the path leads to, from the innermost scope of `scopes` alone: elements of
  /// its last list with the scopes around them.
  std::vector<Scopes> places(const Scopes& scopes) const;
  const std::string& text() const { return text_; }

 private:
  struct Key {
    std::string name;
    bool each;
  };
  std::optional<nlohmann::json> find_in(const nlohmann::json& value, size_t key) const;

  std::string text_;
  size_t up_ = 0;
  std::vector<Key> keys_;
};

}  // namespace switchyard
