// manifest.json of a checkpoint: every file with its size and XXH3 checksum, written last. A
// directory without it is not complete (docs/formats.md, "Checkpoint").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

constexpr const char* kFileManifest = "training_state/manifest.json";

struct ManifestEntry {
  std::string path;  // relative to the directory, parts separated by "/"
  uint64_t bytes = 0;
  std::string hash;  // XXH3, 16 hexadecimal digits
};

/// Lists all regular files below `directory`, by path, and writes kFileManifest.
void write_file_manifest(const std::string& directory);

/// The list. Throws Error(kDamaged) if it is missing, not sound, or names a path outside.
std::vector<ManifestEntry> read_file_manifest(const std::string& directory);

/// Whether the directory has a manifest at all.
bool has_file_manifest(const std::string& directory);

/// Checks that every file of the manifest is there with its size and checksum; files that it does
/// not name do not matter. Throws Error(kDamaged) naming the first file that is not as it was.
void verify_files(const std::string& directory);

}  // namespace switchyard
