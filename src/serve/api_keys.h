// Who may ask: the keys of --api-key-file or of the environment.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// Thread-safe.
class ApiKeys {
 public:
  /// No keys: everybody may.
  ApiKeys() = default;
  /// Keys, one a line, of a text; blank lines and those that begin with # do not count. Throws
  /// Error(kUsage), naming `where`, if there is none or one holds white space.
  ApiKeys(std::string_view text, const std::string& where);

  bool required() const { return !keys_.empty(); }
  /// Whether an `Authorization` header allows a request. Takes the same time wherever a wrong key
  /// differs.
  bool allow(std::string_view authorization) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace switchyard
