// What a process that was killed while it wrote prepared data left of one shard: files under their
// final names, or under those they have while they are written.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/files.h"

namespace switchyard {

/// Movable. The documents counted here are whole; bytes behind them may be anything.
class ShardRemains {
 public:
  /// The remains of `folder`/`name`.tokens and .index with the most documents; nothing if there are
  /// none. Those that are not closed get other names, which no writer uses, before they are mapped.
  static std::optional<ShardRemains> find(const std::string& folder, const std::string& name,
                                          int32_t token_bytes);

  /// Under its final names: nothing will be added.
  bool closed() const { return closed_; }
  uint64_t documents() const { return offsets_.size() - 1; }
  /// Tokens of the first `documents` documents.
  uint64_t tokens(uint64_t documents) const { return offsets_[documents]; }
  /// Of all documents.
  std::span<const std::byte> token_bytes() const;
  std::span<const std::byte> index_bytes() const { return std::as_bytes(offsets_); }
  std::span<const std::byte> document(uint64_t number) const;

 private:
  MappedFile tokens_, index_;
  std::span<const uint64_t> offsets_;  // of the whole documents, and the end of the last
  int32_t width_ = 0;                  // bytes of a token
  bool closed_ = false;
};

/// Removes the files of shards that are not closed, save those that this process writes.
void remove_unfinished_shards(const std::string& folder);

}  // namespace switchyard
