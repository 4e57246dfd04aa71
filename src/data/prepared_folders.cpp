#include "data/prepared_folders.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>

#include "base/error.h"
#include "data/manifest.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

bool is_prepared(const fs::path& folder) {
  std::error_code code;
  return fs::exists(folder / Manifest::kFileName, code);
}

/// The folder's languages; empty if it is no folder of languages.
std::vector<std::string> languages_in(const std::string& folder, const std::string& split) {
  std::vector<std::string> found;
  std::error_code code;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    const std::string name = at->path().filename().string();
    // Hidden folders and what a killed `prepare` leaves beside a language are none.
    if (name.starts_with('.') || name.find(".tmp-") != name.npos) continue;
    if (is_prepared(at->path() / split)) found.push_back((at->path() / split).string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// The last `parts` parts of a path without its split.
std::string short_name(const std::string& folder, int parts) {
  fs::path rest = fs::path(folder).lexically_normal();
  if (rest.filename().empty()) rest = rest.parent_path();
  if ((rest.filename() == "train" || rest.filename() == "validation") && rest.has_parent_path()) {
    rest = rest.parent_path();
  }
  fs::path name = rest.filename();
  for (int i = 1; i < parts && rest.has_parent_path() && rest != rest.root_path(); ++i) {
    rest = rest.parent_path();
    name = rest.filename() / name;
  }
  return name.string();
}

/// The same for all ways of writing a path.
fs::path place_of(const std::string& folder) {
  std::error_code code;
  const fs::path place = fs::weakly_canonical(folder, code);
  if (code) return folder;
  return place.filename().empty() ? place.parent_path() : place;
}

void name_sources(std::vector<PreparedSource>& sources) {
  constexpr int kMaxParts = 16;
  for (PreparedSource& source : sources) source.name = short_name(source.folder, 1);
  for (int parts = 2; parts <= kMaxParts; ++parts) {
    std::map<std::string, int> count;
    for (const PreparedSource& source : sources) ++count[source.name];
    for (PreparedSource& source : sources) {
      if (count[source.name] > 1) source.name = short_name(source.folder, parts);
    }
  }
}

}  // namespace

std::vector<PreparedSource> find_prepared(const WeightedPaths& paths, const std::string& split) {
  std::vector<PreparedSource> sources;
  for (const auto& [path, weight] : paths) {
    std::vector<std::string> folders;
    if (!is_prepared(path)) folders = languages_in(path, split);
    if (folders.empty()) folders.push_back(path);
    for (const std::string& folder : folders) sources.push_back({"", folder, weight});
  }
  name_sources(sources);
  for (size_t i = 1; i < sources.size(); ++i) {
    const auto same = [&](const PreparedSource& other) {
      return place_of(other.folder) == place_of(sources[i].folder);
    };
    if (std::any_of(sources.begin(), sources.begin() + static_cast<std::ptrdiff_t>(i), same)) {
      throw usage_error("the same prepared data twice", sources[i].folder,
                        "name each source once; a weight can lift it");
    }
  }
  return sources;
}

}  // namespace switchyard
