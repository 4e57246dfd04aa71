// manifest.json of a checkpoint: every file with its size and XXH3 checksum, every tensor with its
// own, written last. A directory without it is not complete (docs/formats.md, "Checkpoint").
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace switchyard {

constexpr const char* kFileManifest = "training_state/manifest.json";

struct ManifestEntry {
  std::string path;  // relative to the directory, parts separated by "/"
  uint64_t bytes = 0;
  std::string hash;                            // XXH3, 16 hexadecimal digits
  std::map<std::string, std::string> tensors;  // of a safetensors file: name -> XXH3 of its bytes
};

/// Lists all regular files below `directory`, by path, and writes kFileManifest. Files in `known`
/// are taken from there, the others are read.
void write_file_manifest(const std::string& directory, std::vector<ManifestEntry> known = {});

/// The list. Throws Error(kDamaged) if it is missing, names a path outside, or is in any byte not
/// as write_file_manifest() wrote it. Lists of version 1, without checksums of tensors and of the
/// list itself, are read too.
std::vector<ManifestEntry> read_file_manifest(const std::string& directory);

/// Whether the directory has a manifest at all.
bool has_file_manifest(const std::string& directory);

/// Checks that every file of the manifest is there with its size and checksum; files that it does
/// not name do not matter. Throws Error(kDamaged) naming the first file that is not as it was and,
/// where it is known, the tensor.
void verify_files(const std::string& directory);

}  // namespace switchyard
