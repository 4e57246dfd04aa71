#include "checkpoint/file_manifest.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/json.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFormatName = "switchyard files";
constexpr int64_t kVersion = 1;
constexpr const char* kHint = "use another checkpoint, or copy this one again";

/// Relative, and with no part that leads out of the directory.
bool stays_inside(const std::string& path) {
  const fs::path parts(path);
  return !path.empty() && parts.is_relative() &&
         std::none_of(parts.begin(), parts.end(),
                      [](const fs::path& part) { return part == ".." || part == "."; });
}

ManifestEntry parse_entry(const json& object, const std::string& path) {
  ManifestEntry entry;
  try {
    object.at("path").get_to(entry.path);
    if (!object.at("bytes").is_number_unsigned()) throw damaged_error("strange size", path, kHint);
    object.at("bytes").get_to(entry.bytes);
    object.at("xxh3").get_to(entry.hash);
  } catch (const json::exception&) {
    throw damaged_error("an entry lacks path, bytes or xxh3", path, kHint);
  }
  if (!stays_inside(entry.path)) {
    throw damaged_error(format("strange path '{:.120}'", entry.path), path, kHint);
  }
  return entry;
}

}  // namespace

void write_file_manifest(const std::string& directory) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) paths.push_back(fs::relative(entry.path(), directory).string());
  }
  std::sort(paths.begin(), paths.end());
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const std::string& path : paths) {
    if (path == kFileManifest) continue;
    const MappedFile file(directory + "/" + path);
    files.push_back(
        {{"path", path}, {"bytes", file.bytes().size()}, {"xxh3", to_hex(hash64(file.bytes()))}});
  }
  const nlohmann::ordered_json object = {
      {"format", kFormatName}, {"version", kVersion}, {"files", files}};
  write_file(directory + "/" + kFileManifest, object.dump(2) + "\n");
}

bool has_file_manifest(const std::string& directory) {
  return fs::is_regular_file(directory + "/" + kFileManifest);
}

std::vector<ManifestEntry> read_file_manifest(const std::string& directory) {
  const std::string path = directory + "/" + kFileManifest;
  if (!has_file_manifest(directory)) throw damaged_error("the file is missing", path, kHint);
  const json object = parse_json(read_file(path), path);
  if (!object.is_object() || object.value("format", json()) != kFormatName ||
      !object.value("files", json()).is_array()) {
    throw damaged_error("not a list of files", path, kHint);
  }
  if (object.value("version", json()) != kVersion) {
    throw usage_error("a list of files of another version", path,
                      format("this program reads version {}", kVersion));
  }
  std::vector<ManifestEntry> entries;
  for (const json& entry : object.at("files")) entries.push_back(parse_entry(entry, path));
  return entries;
}

void verify_files(const std::string& directory) {
  for (const ManifestEntry& entry : read_file_manifest(directory)) {
    const std::string path = directory + "/" + entry.path;
    if (!fs::is_regular_file(path)) throw damaged_error("the file is missing", path, kHint);
    const MappedFile file(path);
    if (file.bytes().size() != entry.bytes) {
      throw damaged_error(
          format("the file has {} bytes instead of {}", file.bytes().size(), entry.bytes), path,
          kHint);
    }
    if (to_hex(hash64(file.bytes())) != entry.hash) {
      throw damaged_error("the file does not match its checksum", path, kHint);
    }
  }
}

}  // namespace switchyard
