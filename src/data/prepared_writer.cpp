#include "data/prepared_writer.h"

#include <bit>
#include <utility>

#include "base/format.h"

namespace switchyard {

static_assert(std::endian::native == std::endian::little, "prepared data is little endian");

PreparedWriter::PreparedWriter(std::string folder, int32_t vocab_size, uint64_t shard_tokens)
    : folder_(std::move(folder)), shard_tokens_(shard_tokens) {
  manifest_.vocab_size = vocab_size;
  manifest_.token_bytes = vocab_size <= 65536 ? 2 : 4;
}

void PreparedWriter::open_shard() {
  const std::string name = format("shard-{:05}", manifest_.shards.size());
  shard_ = std::make_unique<Shard>(folder_ + "/" + name);
  shard_->entry.name = name;
  write_offset();
}

void PreparedWriter::write_offset() {
  const auto bytes = std::as_bytes(std::span(&shard_->entry.tokens, 1));
  shard_->index_file.write(bytes);
  shard_->index_hash.add(bytes);
}

void PreparedWriter::add_document(std::span<const int32_t> ids) {
  if (shard_ && shard_->entry.tokens >= shard_tokens_) close_shard();
  if (!shard_) open_shard();
  std::span<const std::byte> bytes = std::as_bytes(ids);
  if (manifest_.token_bytes == 2) {
    narrow_.assign(ids.begin(), ids.end());
    bytes = std::as_bytes(std::span<const uint16_t>(narrow_));
  }
  shard_->tokens_file.write(bytes);
  shard_->tokens_hash.add(bytes);
  pieces_.add(bytes);
  shard_->entry.tokens += ids.size();
  shard_->entry.documents += 1;
  manifest_.tokens += ids.size();
  manifest_.documents += 1;
  write_offset();
}

void PreparedWriter::close_shard() {
  shard_->entry.tokens_hash = to_hex(shard_->tokens_hash.value());
  shard_->entry.index_hash = to_hex(shard_->index_hash.value());
  pieces_.end_file();
  shard_->tokens_file.commit();
  shard_->index_file.commit();
  manifest_.shards.push_back(shard_->entry);
  shard_.reset();
}

Manifest PreparedWriter::finish(Manifest description) {
  if (shard_) close_shard();
  description.vocab_size = manifest_.vocab_size;
  description.token_bytes = manifest_.token_bytes;
  description.tokens = manifest_.tokens;
  description.documents = manifest_.documents;
  description.shards = std::move(manifest_.shards);
  const auto sums = std::as_bytes(std::span(pieces_.sums()));
  description.pieces = PieceSums{kPieceBytes, to_hex(hash64(sums))};
  AtomicFileWriter file(folder_ + "/" + PieceSums::kFileName);
  file.write(sums);
  file.commit();
  write_file(folder_ + "/" + Manifest::kFileName, description.to_json());
  return description;
}

}  // namespace switchyard
