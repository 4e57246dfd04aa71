#include "data/prepared_writer.h"

#include <bit>
#include <utility>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {

static_assert(std::endian::native == std::endian::little, "prepared data is little endian");

PreparedWriter::PreparedWriter(std::string folder, int32_t vocab_size, uint64_t shard_tokens)
    : folder_(std::move(folder)), shard_tokens_(shard_tokens) {
  manifest_.vocab_size = vocab_size;
  manifest_.token_bytes = vocab_size <= 65536 ? 2 : 4;
}

std::string PreparedWriter::next_name() const {
  return format("shard-{:05}", manifest_.shards.size());
}

void PreparedWriter::open_shard() {
  const std::string name = next_name();
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
  if (manifest_.token_bytes == 2) {
    narrow_.assign(ids.begin(), ids.end());
    add_bytes(std::as_bytes(std::span<const uint16_t>(narrow_)));
  } else {
    add_bytes(std::as_bytes(ids));
  }
}

void PreparedWriter::add_bytes(std::span<const std::byte> bytes) {
  if (shard_ && shard_->entry.tokens >= shard_tokens_) close_shard();
  if (!shard_) open_shard();
  shard_->tokens_file.write(bytes);
  shard_->tokens_hash.add(bytes);
  add_to_hash(bytes);
  pieces_.add(bytes);
  const uint64_t tokens = bytes.size() / static_cast<uint64_t>(manifest_.token_bytes);
  shard_->entry.tokens += tokens;
  shard_->entry.documents += 1;
  manifest_.tokens += tokens;
  manifest_.documents += 1;
  write_offset();
}

void PreparedWriter::add_to_hash(std::span<const std::byte> bytes) {
  const uint64_t size = bytes.size();
  documents_hash_.add(std::as_bytes(std::span(&size, 1)));
  documents_hash_.add(bytes);
}

void PreparedWriter::sync() {
  if (!shard_) return;
  shard_->tokens_file.sync();
  shard_->index_file.sync();
}

void PreparedWriter::take_up(uint64_t documents, const std::string& hash) {
  while (manifest_.documents < documents) {
    const auto remains = ShardRemains::find(folder_, next_name(), manifest_.token_bytes);
    const uint64_t left = documents - manifest_.documents;
    if (!remains || remains->documents() == 0 ||
        (!remains->closed() && remains->documents() < left)) {
      throw damaged_error("documents of an interrupted run are missing", folder_);
    }
    if (remains->closed() && remains->documents() <= left) {
      take_up_closed(*remains);
      continue;
    }
    for (uint64_t i = 0; i < left; ++i) add_bytes(remains->document(i));
  }
  if (this->hash() != hash) {
    throw damaged_error("documents of an interrupted run are damaged", folder_);
  }
  sync();
  remove_unfinished_shards(folder_);
}

void PreparedWriter::take_up_closed(const ShardRemains& remains) {
  ShardEntry entry;
  entry.name = next_name();
  entry.documents = remains.documents();
  entry.tokens = remains.tokens(entry.documents);
  entry.tokens_hash = to_hex(hash64(remains.token_bytes()));
  entry.index_hash = to_hex(hash64(remains.index_bytes()));
  for (uint64_t i = 0; i < entry.documents; ++i) add_to_hash(remains.document(i));
  pieces_.add(remains.token_bytes());
  pieces_.end_file();
  manifest_.tokens += entry.tokens;
  manifest_.documents += entry.documents;
  manifest_.shards.push_back(std::move(entry));
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
