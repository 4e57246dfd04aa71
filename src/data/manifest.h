// dataset.json of prepared data (docs/formats.md, "Prepared data").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "data/document_parser.h"

namespace switchyard {

struct ShardEntry {
  std::string name;         // "shard-00000": .tokens and .index are appended
  uint64_t tokens = 0;      // in the .tokens file
  uint64_t documents = 0;   // the .index file holds one offset more
  std::string tokens_hash;  // XXH3 of the files
  std::string index_hash;
};

/// Where the checksums of pieces stand (data/piece_sums.h).
struct PieceSums {
  static constexpr const char* kFileName = "pieces.xxh3";

  uint64_t bytes = 0;  // of a piece
  std::string hash;    // XXH3 of the file
};

struct Manifest {
  static constexpr const char* kFileName = "dataset.json";
  static constexpr const char* kTokenizerName = "spiece.model";
  static constexpr int64_t kVersion = 1;

  std::string split;  // "train" or "validation"
  double validation_share = 0;
  uint64_t split_seed = 0;
  std::string tokenizer_hash;
  int32_t vocab_size = 0;              // ids in the shards are below
  int32_t token_bytes = 2;             // 2 (uint16) or 4 (uint32), little endian
  uint64_t tokens = 0, documents = 0;  // sums over the shards
  std::vector<std::string> sources;
  ReadCounts read;  // of all input, before the split
  std::vector<ShardEntry> shards;
  std::optional<PieceSums> pieces;  // absent in data of earlier versions

  /// With a checksum of itself where there are sums of pieces.
  std::string to_json() const;
  /// Checks everything the file can say about itself. `path` is for messages. Throws
  /// Error(kDamaged), or Error(kUsage) for a newer version.
  static Manifest from_json(const std::string& text, const std::string& path);
};

}  // namespace switchyard
