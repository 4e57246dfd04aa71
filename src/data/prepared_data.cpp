#include "data/prepared_data.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/log.h"

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

// Of a checksum as it stands in the description; something that is none fits no file.
uint64_t sum_of(const std::string& hash) { return std::strtoull(hash.c_str(), nullptr, 16); }

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
  open_shards();
}

// Of all shards in order; empty in data of earlier versions.
std::vector<uint64_t> PreparedData::read_piece_sums() const {
  std::vector<uint64_t> sums;
  if (!manifest_.pieces) return sums;
  uint64_t pieces = 0;
  for (const ShardEntry& entry : manifest_.shards) {
    pieces += count_pieces(entry.tokens * token_bytes(), manifest_.pieces->bytes);
  }
  const std::string path = folder_ + "/" + PieceSums::kFileName;
  const MappedFile file = map_checked(path, pieces * sizeof(uint64_t));
  if (to_hex(hash64(file.bytes())) != manifest_.pieces->hash) throw damaged("wrong checksum", path);
  sums.resize(pieces);
  if (pieces > 0) std::memcpy(sums.data(), file.bytes().data(), file.bytes().size());
  return sums;
}

void PreparedData::open_shards() {
  const std::vector<uint64_t> sums = read_piece_sums();
  uint64_t tokens = 0, documents = 0;
  auto sum = sums.begin();
  for (const ShardEntry& entry : manifest_.shards) {
    const std::string path = folder_ + "/" + entry.name;
    const uint64_t bytes = entry.tokens * token_bytes();
    MappedFile tokens_file = map_checked(path + ".tokens", bytes);
    MappedFile index_file = map_checked(path + ".index", (entry.documents + 1) * sizeof(uint64_t));
    // Without sums of pieces the whole shard is one.
    const uint64_t piece_bytes =
        manifest_.pieces ? manifest_.pieces->bytes : std::max<uint64_t>(1, bytes);
    const auto pieces = static_cast<std::ptrdiff_t>(count_pieces(bytes, piece_bytes));
    std::vector<uint64_t> own(static_cast<size_t>(pieces), sum_of(entry.tokens_hash));
    if (manifest_.pieces) {
      std::copy(sum, sum + pieces, own.begin());
      sum += pieces;
    }
    PieceChecker checker(tokens_file.bytes(), std::move(own), piece_bytes);
    PieceChecker whole_index(index_file.bytes(), {sum_of(entry.index_hash)},
                             index_file.bytes().size());
    shards_.push_back({std::move(tokens_file), std::move(index_file), tokens, documents, entry,
                       std::move(checker), std::move(whole_index)});
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

template <class Visit>
void PreparedData::for_each_part(uint64_t begin, uint64_t count, Visit visit) const {
  while (count > 0) {
    const Shard& shard = shard_of_token(begin);
    const uint64_t within = begin - shard.first_token;
    const uint64_t part = std::min(count, shard.entry.tokens - within);
    if (!visit(shard, within, part)) return;
    begin += part;
    count -= part;
  }
}

void PreparedData::copy(uint64_t begin, uint64_t count, int32_t* ids) const {
  if (begin > num_tokens() || count > num_tokens() - begin) {
    throw usage_error(format("tokens {} to {} asked of {}", begin, begin + count, num_tokens()),
                      folder_);
  }
  for_each_part(begin, count, [&](const Shard& shard, uint64_t within, uint64_t part) {
    copy_from(shard, within, part, ids);  // an id that cannot be names its own byte
    check_pieces(shard, within, part);
    ids += part;
    return true;
  });
}

std::optional<PieceChecker::Damage> PreparedData::find_damage(const Shard& shard, uint64_t begin,
                                                              uint64_t count) const {
  const auto found = [&](const PieceChecker::Damage& piece) {
    ++*damaged_pieces_;
    log_warning("wrong checksum; {}, bytes {} to {}", shard.tokens_file.path(), piece.begin,
                piece.end - 1);
  };
  return shard.pieces.find_damage(begin * token_bytes(), (begin + count) * token_bytes(), found);
}

bool PreparedData::is_sound(uint64_t begin, uint64_t count) const {
  bool sound = true;
  for_each_part(begin, count, [&](const Shard& shard, uint64_t within, uint64_t part) {
    sound = !find_damage(shard, within, part);
    return sound;
  });
  return sound;
}

void PreparedData::check_pieces(const Shard& shard, uint64_t begin, uint64_t count) const {
  const auto damage =
      shard.pieces.find_damage(begin * token_bytes(), (begin + count) * token_bytes());
  if (!damage) return;
  throw damaged_error(
      "wrong checksum",
      format("{}, bytes {} to {}", shard.tokens_file.path(), damage->begin, damage->end - 1),
      "copy the prepared data again or make it anew; with data.on_damage = \"skip\" training goes "
      "on without what is damaged");
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
  if (shard.whole_index.find_damage(0, 1)) {
    throw damaged("wrong checksum", shard.index_file.path());
  }
  const uint64_t begin = shard.offsets()[i - shard.first_document];
  const uint64_t end = shard.offsets()[i - shard.first_document + 1];
  if (begin > end || end > shard.entry.tokens) {
    throw damaged("document offsets out of range", shard.index_file.path());
  }
  std::vector<int32_t> ids(end - begin);
  copy_from(shard, begin, end - begin, ids.data());
  check_pieces(shard, begin, end - begin);
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
