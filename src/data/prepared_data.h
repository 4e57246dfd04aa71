// Prepared data: one long stream of token ids, mapped from shards (docs/formats.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/manifest.h"

namespace switchyard {

/// All const functions are thread-safe.
class PreparedData {
 public:
  /// Opens a folder written by `switchyard prepare` and checks version, sizes and the tokenizer's
  /// checksum. Throws Error(kUsage) if the folder is none, Error(kDamaged) if it is not sound.
  explicit PreparedData(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }
  uint64_t num_tokens() const { return manifest_.tokens; }
  uint64_t num_documents() const { return manifest_.documents; }
  /// The tokenizer's; ids are below.
  int32_t vocab_size() const { return manifest_.vocab_size; }
  const std::string& tokenizer_hash() const { return manifest_.tokenizer_hash; }
  /// The copy of the tokenizer's model file in the folder.
  std::string tokenizer_path() const;

  /// Copies tokens [begin, begin + count) of the stream. Ids are checked on the way:
  /// Error(kDamaged) if one is not below vocab_size(). begin + count <= num_tokens().
  void copy(uint64_t begin, uint64_t count, int32_t* ids) const;

  /// Ids of document i, 0 <= i < num_documents().
  std::vector<int32_t> document(uint64_t i) const;

  /// Reads everything: checksums, document offsets, ids. Throws Error(kDamaged).
  void verify() const;

 private:
  struct Shard {
    MappedFile tokens_file, index_file;
    uint64_t first_token, first_document;  // of the stream
    ShardEntry entry;

    const uint64_t* offsets() const {
      return reinterpret_cast<const uint64_t*>(index_file.bytes().data());
    }
  };

  const Shard& shard_of_token(uint64_t token) const;
  void copy_from(const Shard& shard, uint64_t begin, uint64_t count, int32_t* ids) const;

  std::string folder_;
  Manifest manifest_;
  std::vector<Shard> shards_;
};

}  // namespace switchyard
