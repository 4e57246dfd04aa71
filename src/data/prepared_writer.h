// Writes one split of prepared data, shard by shard, into an existing folder.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/hash.h"
#include "data/manifest.h"
#include "data/piece_sums.h"

namespace switchyard {

/// Not thread-safe. Nothing in the folder is valid before finish().
class PreparedWriter {
 public:
  /// Ids must be below `vocab_size`. A shard is closed at the first document that starts at or
  /// after `shard_tokens` tokens.
  PreparedWriter(std::string folder, int32_t vocab_size, uint64_t shard_tokens);

  void add_document(std::span<const int32_t> ids);

  uint64_t tokens() const { return manifest_.tokens; }
  uint64_t documents() const { return manifest_.documents; }

  /// Closes the last shard and writes dataset.json: `description` with sizes and shards filled in.
  /// Returns what was written.
  Manifest finish(Manifest description);

 private:
  struct Shard {
    explicit Shard(const std::string& path)
        : tokens_file(path + ".tokens"), index_file(path + ".index") {}
    AtomicFileWriter tokens_file, index_file;
    StreamingHash tokens_hash, index_hash;
    ShardEntry entry;
  };

  void open_shard();
  void close_shard();
  void write_offset();

  std::string folder_;
  uint64_t shard_tokens_;
  Manifest manifest_;
  std::unique_ptr<Shard> shard_;
  PieceHasher pieces_;
  std::vector<uint16_t> narrow_;  // scratch of add_document
};

}  // namespace switchyard
