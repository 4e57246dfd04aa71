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
#include "data/shard_remains.h"

namespace switchyard {

/// Not thread-safe. Nothing in the folder is valid before finish().
class PreparedWriter {
 public:
  /// Ids must be below `vocab_size`. A shard is closed at the first document that starts at or
  /// after `shard_tokens` tokens.
  PreparedWriter(std::string folder, int32_t vocab_size, uint64_t shard_tokens);

  void add_document(std::span<const int32_t> ids);

  /// What was added so far outlives a power cut and this object: another writer can take it up.
  void sync();
  /// Before anything was added: takes up the first `documents` documents that a writer with the
  /// same arguments left in the folder when its process ended, and removes what else it left.
  /// Throws Error(kDamaged) if they are not there, or not what has this hash().
  void take_up(uint64_t documents, const std::string& hash);
  /// Of the sizes and tokens of all documents so far, in hexadecimal digits.
  std::string hash() const { return to_hex(documents_hash_.value()); }

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

  std::string next_name() const;
  void open_shard();
  void take_up_closed(const ShardRemains& remains);
  void add_bytes(std::span<const std::byte> bytes);
  void add_to_hash(std::span<const std::byte> bytes);
  void close_shard();
  void write_offset();

  std::string folder_;
  uint64_t shard_tokens_;
  Manifest manifest_;
  std::unique_ptr<Shard> shard_;
  PieceHasher pieces_;
  StreamingHash documents_hash_;
  std::vector<uint16_t> narrow_;  // scratch of add_document
};

}  // namespace switchyard
