// Prepared data: one long stream of token ids, mapped from shards (docs/formats.md).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/manifest.h"
#include "data/piece_sums.h"

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

  /// Copies tokens [begin, begin + count) of the stream, begin + count <= num_tokens(). Throws
  /// Error(kDamaged), with the bytes, if an id is not below vocab_size() or a piece that holds one
  /// of the tokens does not have its checksum. A piece is verified when it is first used; in data
  /// of earlier versions it is a whole shard.
  void copy(uint64_t begin, uint64_t count, int32_t* ids) const;

  /// Whether copy() would find these tokens sound. Each damaged piece is logged and counted once.
  bool is_sound(uint64_t begin, uint64_t count) const;
  /// Damaged pieces that were met so far.
  uint64_t damaged_pieces() const { return *damaged_pieces_; }

  /// Ids of document i, 0 <= i < num_documents(). Throws as copy().
  std::vector<int32_t> document(uint64_t i) const;

  /// Reads everything: checksums, document offsets, ids. Throws Error(kDamaged).
  void verify() const;

 private:
  struct Shard {
    MappedFile tokens_file, index_file;
    uint64_t first_token, first_document;  // of the stream
    ShardEntry entry;
    PieceChecker pieces;       // of tokens_file
    PieceChecker whole_index;  // index_file as one piece

    const uint64_t* offsets() const {
      return reinterpret_cast<const uint64_t*>(index_file.bytes().data());
    }
  };

  uint64_t token_bytes() const { return static_cast<uint64_t>(manifest_.token_bytes); }
  std::vector<uint64_t> read_piece_sums() const;
  void open_shards();
  const Shard& shard_of_token(uint64_t token) const;
  /// Calls visit(shard, begin, count) for the part of each shard; ends when it returns false.
  template <class Visit>
  void for_each_part(uint64_t begin, uint64_t count, Visit visit) const;
  std::optional<PieceChecker::Damage> find_damage(const Shard& shard, uint64_t begin,
                                                  uint64_t count) const;
  void check_pieces(const Shard& shard, uint64_t begin, uint64_t count) const;
  void copy_from(const Shard& shard, uint64_t begin, uint64_t count, int32_t* ids) const;

  std::string folder_;
  Manifest manifest_;
  std::vector<Shard> shards_;
  std::unique_ptr<std::atomic<uint64_t>> damaged_pieces_ =
      std::make_unique<std::atomic<uint64_t>>(0);
};

}  // namespace switchyard
