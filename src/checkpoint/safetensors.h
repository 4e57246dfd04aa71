// The safetensors format: 8 bytes header length (little endian), a JSON header that gives each
// tensor's type, shape and byte range, then the tensors' bytes without gaps (docs/formats.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/hash.h"
#include "checkpoint/dtype.h"

namespace switchyard {

struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;

  int64_t numel() const;
  uint64_t bytes() const;
};

struct TensorEntry {
  TensorSpec spec;
  uint64_t begin = 0, end = 0;  // bytes of the file
};

using TensorMetadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // by position in the file
  TensorMetadata metadata;
};

/// Checks all that the format promises: the header lies in the file, names are unique, sizes fit
/// types and shapes, ranges follow each other and cover the file to its end. Throws
/// Error(kDamaged), or Error(kUsage) for an element type that it does not know, naming file, tensor
/// and offset.
SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& path);

/// "[8, 16]", long shapes cut.
std::string shape_text(const std::vector<int64_t>& shape);

/// A mapped file. Thread-safe to read.
class SafetensorsFile {
 public:
  /// Throws as parse_safetensors(), and Error(kUsage) if there is no such file.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const std::vector<TensorEntry>& tensors() const { return header_.tensors; }
  const TensorMetadata& metadata() const { return header_.metadata; }
  const TensorEntry* find(const std::string& name) const;
  /// Bytes of one of tensors(); aligned to nothing.
  std::span<const std::byte> data(const TensorEntry& tensor) const;

 private:
  MappedFile file_;
  SafetensorsHeader header_;
  std::map<std::string, size_t> by_name_;
};

/// Checksums of a safetensors file, XXH3, 16 hexadecimal digits each.
struct SafetensorsHashes {
  std::string file;
  std::vector<std::string> tensors;  // in the order of the file
};

/// Streams tensors in the order given into a temporary file, renamed by commit().
class SafetensorsWriter {
 public:
  /// Names must be unique. Throws Error if the file cannot be written.
  SafetensorsWriter(const std::string& path, const std::vector<TensorSpec>& tensors,
                    const TensorMetadata& metadata = {{"format", "pt"}});

  /// The next bytes; a tensor may come in several pieces.
  void write(std::span<const std::byte> bytes);
  /// All bytes of all tensors must have been written. Returns the checksums of what was to be
  /// written: made from memory, not read back.
  SafetensorsHashes commit();
  uint64_t size() const { return file_.size(); }

 private:
  void put(std::span<const std::byte> bytes);
  void end_tensors();

  AtomicFileWriter file_;
  uint64_t expected_size_ = 0;
  std::vector<uint64_t> ends_;  // of each tensor, bytes of the file
  StreamingHash file_hash_;
  std::optional<StreamingHash> tensor_hash_{std::in_place};  // of the tensor that is being written
  std::vector<std::string> tensor_hashes_;
};

}  // namespace switchyard
