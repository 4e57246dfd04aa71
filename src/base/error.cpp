#include "base/error.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace switchyard {
namespace {

// Control characters of hostile file names or keys must not break the one-line promise.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return text;
}

std::string join(const std::string& what, const std::string& where, const std::string& hint) {
  std::string text = what;
  if (!where.empty()) text += "; " + where;
  if (!hint.empty()) text += "; " + hint;
  return text;
}

}  // namespace

Error::Error(ErrorKind kind, std::string what, std::string where, std::string hint)
    : std::runtime_error(one_line(join(what, where, hint))),
      kind_(kind),
      what_(std::move(what)),
      where_(std::move(where)),
      hint_(std::move(hint)) {}

Error system_failure(const std::string& what, const std::string& where, int error_number) {
  std::string hint;
  if (error_number == ENOSPC || error_number == EDQUOT) hint = "free some disk space and try again";
  if (error_number == EACCES || error_number == EPERM || error_number == EROFS) {
    hint = "check the permissions or choose another place";
  }
  if (error_number == ENOENT) hint = "check the path";
  const bool usage = error_number == ENOENT || error_number == ENOTDIR || error_number == EISDIR;
  return Error(usage ? ErrorKind::kUsage : ErrorKind::kRuntime,
               what + ": " + std::strerror(error_number), where, hint);
}

int edit_distance(const std::string& a, const std::string& b) {
  std::vector<int> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

}  // namespace switchyard
