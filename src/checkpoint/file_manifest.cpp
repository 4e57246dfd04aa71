#include "checkpoint/file_manifest.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFormatName = "switchyard files";
constexpr int64_t kVersion = 2;
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
    if (object.contains("tensors")) object.at("tensors").get_to(entry.tensors);
  } catch (const json::exception&) {
    throw damaged_error("an entry lacks path, bytes or xxh3, or names tensors strangely", path,
                        kHint);
  }
  if (!stays_inside(entry.path)) {
    throw damaged_error(format("strange path '{:.120}'", entry.path), path, kHint);
  }
  return entry;
}

/// The one text that lists `entries`. Its last key is the checksum of the text without that key.
std::string manifest_text(const std::vector<ManifestEntry>& entries, int64_t version) {
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const ManifestEntry& entry : entries) {
    files.push_back({{"path", entry.path}, {"bytes", entry.bytes}, {"xxh3", entry.hash}});
    if (!entry.tensors.empty()) files.back()["tensors"] = entry.tensors;
  }
  nlohmann::ordered_json object = {{"format", kFormatName}, {"version", version}, {"files", files}};
  if (version > 1) object["xxh3"] = to_hex(hash64(object.dump()));
  return object.dump(2) + "\n";
}

ManifestEntry describe_file(const std::string& directory, const std::string& path) {
  const MappedFile file(directory + "/" + path);
  return {path, file.bytes().size(), to_hex(hash64(file.bytes())), {}};
}

/// The first tensor of a file with a wrong checksum, as a part of a place; "" if it cannot be told.
std::string damaged_tensor(const std::string& path, const ManifestEntry& entry) {
  if (entry.tensors.empty()) return "";
  try {
    const SafetensorsFile file(path);
    for (const auto& [name, hash] : entry.tensors) {
      const TensorEntry* stored = file.find(name);
      if (stored && to_hex(hash64(file.data(*stored))) != hash) {
        return format(", tensor '{:.120}', offset {}", name, stored->begin);
      }
    }
  } catch (const Error&) {  // its header is damaged
  }
  return "";
}

}  // namespace

void write_file_manifest(const std::string& directory, std::vector<ManifestEntry> known) {
  std::map<std::string, ManifestEntry> by_path;
  for (ManifestEntry& entry : known) by_path[entry.path] = std::move(entry);
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    const std::string path = fs::relative(entry.path(), directory).string();
    if (entry.is_regular_file() && path != kFileManifest && !by_path.contains(path)) {
      by_path[path] = describe_file(directory, path);
    }
  }
  std::vector<ManifestEntry> entries;
  for (auto& [path, entry] : by_path) entries.push_back(std::move(entry));
  write_file(directory + "/" + kFileManifest, manifest_text(entries, kVersion));
}

bool has_file_manifest(const std::string& directory) {
  return fs::is_regular_file(directory + "/" + kFileManifest);
}

std::vector<ManifestEntry> read_file_manifest(const std::string& directory) {
  const std::string path = directory + "/" + kFileManifest;
  if (!has_file_manifest(directory)) throw damaged_error("the file is missing", path, kHint);
  const std::string text = read_file(path);
  const json object = parse_json(text, path);
  if (!object.is_object() || object.value("format", json()) != kFormatName ||
      !object.value("files", json()).is_array()) {
    throw damaged_error("not a list of files", path, kHint);
  }
  const json version = object.value("version", json());
  std::vector<ManifestEntry> entries;
  for (const json& entry : object.at("files")) entries.push_back(parse_entry(entry, path));
  // A byte that was changed may still give sound JSON: nothing but the very text will do.
  for (int64_t known = 1; known <= kVersion; ++known) {
    if (version == known && text == manifest_text(entries, known)) return entries;
  }
  if (version.is_number_unsigned() && version > kVersion) {
    throw damaged_error("a list of files of a newer version, or a damaged one", path,
                        format("this program reads versions 1 to {}", kVersion));
  }
  throw damaged_error("the list of files does not match its checksum", path, kHint);
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
      throw damaged_error("the file does not match its checksum",
                          path + damaged_tensor(path, entry), kHint);
    }
  }
}

}  // namespace switchyard
