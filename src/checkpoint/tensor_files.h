// The tensors of a model directory: model.safetensors, or shards named by
// model.safetensors.index.json.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

namespace switchyard {

constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kWeightsIndex = "model.safetensors.index.json";

struct StoredTensor {
  const SafetensorsFile* file = nullptr;
  const TensorEntry* entry = nullptr;

  const TensorSpec& spec() const { return entry->spec; }
  std::span<const std::byte> data() const { return file->data(*entry); }
};

/// Maps all weight files of a directory. Thread-safe to read.
class TensorFiles {
 public:
  /// Throws Error(kUsage) if the directory holds no such weights, Error(kDamaged) if a file is not
  /// sound, a shard is missing or lies outside the directory, or a name stands in two shards.
  explicit TensorFiles(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* find(const std::string& name) const;
  /// Elements of all tensors.
  uint64_t numel() const;

 private:
  void add(const std::string& file_name);
  void read_index();

  std::string directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, StoredTensor> tensors_;
};

constexpr uint64_t kDefaultShardBytes = 5'000'000'000;  // Hugging Face's default

/// Writes `tensors` into `directory`: one file, or, where they hold more than `shard_bytes`, shards
/// of at most that (but at least one tensor each) and their index. `write(i, file)` must write the
/// bytes of tensor i, which are asked for in order.
void write_tensor_files(const std::string& directory, const std::vector<TensorSpec>& tensors,
                        uint64_t shard_bytes,
                        const std::function<void(size_t, SafetensorsWriter&)>& write);

}  // namespace switchyard
