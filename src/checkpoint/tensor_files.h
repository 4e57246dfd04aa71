// The tensors of a directory: STEM.safetensors, or shards named by STEM.safetensors.index.json.
// The weights of a model have the stem "model".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/file_manifest.h"
#include "checkpoint/safetensors.h"

namespace switchyard {

constexpr const char* kWeightsStem = "model";
constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kWeightsIndex = "model.safetensors.index.json";

struct StoredTensor {
  const SafetensorsFile* file = nullptr;
  const TensorEntry* entry = nullptr;

  const TensorSpec& spec() const { return entry->spec; }
  std::span<const std::byte> data() const { return file->data(*entry); }
};

/// Maps all files of a stem. Thread-safe to read.
class TensorFiles {
 public:
  /// Throws Error(kUsage) if the directory holds no such tensors, Error(kDamaged) if a file is not
  /// sound, a shard is missing or lies outside the directory, or a name stands in two shards.
  explicit TensorFiles(const std::string& directory, const std::string& stem = kWeightsStem);

  const std::string& directory() const { return directory_; }
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* find(const std::string& name) const;
  /// Elements of all tensors.
  uint64_t numel() const;

 private:
  void add(const std::string& file_name);
  void read_index(const std::string& path);

  std::string directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, StoredTensor> tensors_;
};

constexpr uint64_t kDefaultShardBytes = 5'000'000'000;  // Hugging Face's default

/// What tensors are written to.
struct TensorFileOptions {
  std::string stem = kWeightsStem;
  uint64_t shard_bytes = kDefaultShardBytes;
  // Where others write files of the same stem too: how many come before these, and how many there
  // are. 0: none but these. One of the writers then calls write_tensor_index().
  size_t files_before = 0, all_files = 0;
};

/// How many files write_tensor_files() makes of `tensors`.
size_t num_tensor_files(const std::vector<TensorSpec>& tensors, uint64_t shard_bytes);

/// Writes `tensors` into `directory`: one file, or, where they hold more than `shard_bytes`, shards
/// of at most that (but at least one tensor each) and their index. `write(i, file)` must write the
/// bytes of tensor i, which are asked for in order. Returns a line of a manifest for each
/// safetensors file, with the path from `directory`.
std::vector<ManifestEntry> write_tensor_files(
    const std::string& directory, const std::vector<TensorSpec>& tensors,
    const TensorFileOptions& options, const std::function<void(size_t, SafetensorsWriter&)>& write);

/// The index of several files, `bytes` of tensors in all, of which the manifest has these lines.
void write_tensor_index(const std::string& directory, const std::string& stem,
                        const std::vector<ManifestEntry>& entries, uint64_t bytes);

}  // namespace switchyard
