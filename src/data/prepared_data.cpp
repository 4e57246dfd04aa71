#include "data/prepared_data.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"

namespace switchyard {
namespace {

Error damaged(const std::string& what, const std::string& path) {
  return damaged_error(what, path, "copy the prepared data again or make it anew");
}

MappedFile map_checked(const std::string& path, uint64_t bytes) {
  if (!std::filesystem::exists(path)) throw damaged("file missing", path);
  MappedFile file(path);
  if (file.bytes().size() != bytes) {
    throw damaged(format("file has {} bytes instead of {}", file.bytes().size(), bytes), path);
  }
  return file;
}

/// Copies and returns the largest id.
template <class Token>
Token copy_tokens(const std::byte* from, uint64_t begin, uint64_t count, int32_t* ids) {
  const Token* tokens = reinterpret_cast<const Token*>(from) + begin;
  Token largest = 0;
  for (uint64_t i = 0; i < count; ++i) {
    largest = std::max(largest, tokens[i]);
    ids[i] = static_cast<int32_t>(tokens[i]);
  }
  return largest;
}

}  // namespace

PreparedData::PreparedData(const std::string& folder) : folder_(folder) {
  namespace fs = std::filesystem;
  const std::string manifest_path = folder + "/" + Manifest::kFileName;
  if (!fs::exists(folder)) throw system_failure("cannot open prepared data", folder, ENOENT);
  if (!fs::exists(manifest_path)) {
    std::string inner;
    for (const char* part : {"train", "validation"}) {
      const std::string path = format("{}/{}", folder, part);
      if (!fs::exists(path + "/" + Manifest::kFileName)) continue;
      inner += format("{}'{}'", inner.empty() ? "" : " or ", path);
    }
    throw usage_error(
        "not prepared data", folder,
        inner.empty() ? "make some with `switchyard prepare`" : format("did you mean {}?", inner));
  }
  manifest_ = Manifest::from_json(read_file(manifest_path), manifest_path);
  if (!fs::exists(tokenizer_path())) throw damaged("file missing", tokenizer_path());
  if (to_hex(hash64(MappedFile(tokenizer_path()).bytes())) != manifest_.tokenizer_hash) {
    throw damaged("not the tokenizer that the data was made with", tokenizer_path());
  }
  uint64_t tokens = 0, documents = 0;
  for (const ShardEntry& entry : manifest_.shards) {
    const std::string path = folder + "/" + entry.name;
    const auto token_bytes = static_cast<uint64_t>(manifest_.token_bytes);
    shards_.push_back({map_checked(path + ".tokens", entry.tokens * token_bytes),
                       map_checked(path + ".index", (entry.documents + 1) * sizeof(uint64_t)),
                       tokens, documents, entry});
    tokens += entry.tokens;
    documents += entry.documents;
  }
}

std::string PreparedData::tokenizer_path() const {
  return folder_ + "/" + Manifest::kTokenizerName;
}

const PreparedData::Shard& PreparedData::shard_of_token(uint64_t token) const {
  const auto after =
      std::upper_bound(shards_.begin(), shards_.end(), token,
                       [](uint64_t at, const Shard& shard) { return at < shard.first_token; });
  return *std::prev(after);
}

void PreparedData::copy(uint64_t begin, uint64_t count, int32_t* ids) const {
  if (begin > num_tokens() || count > num_tokens() - begin) {
    throw usage_error(format("tokens {} to {} asked of {}", begin, begin + count, num_tokens()),
                      folder_);
  }
  while (count > 0) {
    const Shard& shard = shard_of_token(begin);
    const uint64_t within = begin - shard.first_token;
    const uint64_t part = std::min(count, shard.entry.tokens - within);
    copy_from(shard, within, part, ids);
    begin += part;
    ids += part;
    count -= part;
  }
}

void PreparedData::copy_from(const Shard& shard, uint64_t begin, uint64_t count,
                             int32_t* ids) const {
  const std::byte* bytes = shard.tokens_file.bytes().data();
  const uint32_t largest = manifest_.token_bytes == 2
                               ? copy_tokens<uint16_t>(bytes, begin, count, ids)
                               : copy_tokens<uint32_t>(bytes, begin, count, ids);
  if (largest >= static_cast<uint32_t>(manifest_.vocab_size)) {
    const auto at = std::find(ids, ids + count, static_cast<int32_t>(largest)) - ids;
    const uint64_t byte = (begin + static_cast<uint64_t>(at)) * manifest_.token_bytes;
    throw damaged(
        format("token id {} is not below the vocabulary size {}", largest, manifest_.vocab_size),
        format("{}, byte {}", shard.tokens_file.path(), byte));
  }
}

std::vector<int32_t> PreparedData::document(uint64_t i) const {
  if (i >= num_documents()) {
    throw usage_error(format("document {} asked of {}", i, num_documents()), folder_);
  }
  const auto after =
      std::upper_bound(shards_.begin(), shards_.end(), i,
                       [](uint64_t at, const Shard& shard) { return at < shard.first_document; });
  const Shard& shard = *std::prev(after);
  const uint64_t begin = shard.offsets()[i - shard.first_document];
  const uint64_t end = shard.offsets()[i - shard.first_document + 1];
  if (begin > end || end > shard.entry.tokens) {
    throw damaged("document offsets out of range", shard.index_file.path());
  }
  std::vector<int32_t> ids(end - begin);
  copy_from(shard, begin, end - begin, ids.data());
  return ids;
}

void PreparedData::verify() const {
  for (const Shard& shard : shards_) {
    for (const auto& [file, hash] : {std::pair(&shard.tokens_file, &shard.entry.tokens_hash),
                                     std::pair(&shard.index_file, &shard.entry.index_hash)}) {
      if (to_hex(hash64(file->bytes())) != *hash) throw damaged("wrong checksum", file->path());
    }
    const uint64_t* offsets = shard.offsets();
    const uint64_t count = shard.entry.documents + 1;
    if (offsets[0] != 0 || offsets[count - 1] != shard.entry.tokens ||
        !std::is_sorted(offsets, offsets + count)) {
      throw damaged("document offsets out of order", shard.index_file.path());
    }
    std::vector<int32_t> ids(1 << 16);
    for (uint64_t at = 0; at < shard.entry.tokens; at += ids.size()) {
      copy_from(shard, at, std::min<uint64_t>(ids.size(), shard.entry.tokens - at), ids.data());
    }
  }
}

}  // namespace switchyard
