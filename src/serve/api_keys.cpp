#include "serve/api_keys.h"

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

constexpr std::string_view kScheme = "bearer ";

bool same(std::string_view key, std::string_view given) {
  auto difference = static_cast<unsigned>(key.size() != given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    difference |=
        static_cast<unsigned char>(key[i % key.size()]) ^ static_cast<unsigned char>(given[i]);
  }
  return difference == 0;
}

bool has_scheme(std::string_view authorization) {
  if (authorization.size() < kScheme.size()) return false;
  return std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), [](char a, char b) {
    return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
  });
}

}  // namespace

ApiKeys::ApiKeys(std::string_view text, const std::string& where) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view key = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (key.empty() || key.front() == '#') continue;
    if (std::any_of(key.begin(), key.end(), is_space)) {
      throw usage_error("an API key with white space in it", where, "write one key a line");
    }
    keys_.emplace_back(key);
  }
  if (keys_.empty()) throw usage_error("no API key", where, "write one key a line");
}

bool ApiKeys::allow(std::string_view authorization) const {
  if (!required()) return true;
  if (!has_scheme(authorization)) return false;
  const std::string_view given = trim(authorization.substr(kScheme.size()));
  bool allowed = false;
  for (const std::string& key : keys_) allowed |= same(key, given);
  return allowed;
}

}  // namespace switchyard
