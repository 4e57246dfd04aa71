#include "data/manifest.h"

#include <limits>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"

namespace switchyard {
namespace {

using nlohmann::json;

constexpr const char* kFormatName = "switchyard prepared data";

/// Shard names become file names: nothing but our own pattern may leave the folder.
bool is_shard_name(const std::string& name) {
  return name.starts_with("shard-") && name.size() > 6 && name.size() <= 26 &&
         name.find_first_not_of("0123456789", 6) == std::string::npos;
}

void require(bool condition, const std::string& what, const std::string& path) {
  if (!condition) throw damaged_error(what, path, "prepare the data again");
}

/// A whole number in [0, most]; JSON's other numbers would be rounded or wrapped.
uint64_t read_count(const json& object, const char* key, uint64_t most, const std::string& path) {
  const json& value = object.at(key);
  require(value.is_number_unsigned() && value.get<uint64_t>() <= most,
          format("{} is not a whole number from 0 to {}", key, most), path);
  return value.get<uint64_t>();
}

// The end of a description is its checksum, of every byte before it.
std::string checksum_tail(std::string_view body) {
  return format(",\n  \"checksum\": \"{}\"\n}}\n", to_hex(hash64(body)));
}

void check_checksum(std::string_view text, const std::string& path) {
  const size_t length = checksum_tail("").size();
  require(text.size() > length, "no checksum", path);
  const std::string_view body = text.substr(0, text.size() - length);
  require(text.substr(body.size()) == checksum_tail(body), "wrong checksum", path);
}

PieceSums piece_sums_of(const json& object, const std::string& path) {
  PieceSums sums;
  sums.bytes = read_count(object, "bytes", uint64_t{1} << 40, path);
  require(sums.bytes > 0, "pieces of no bytes", path);
  object.at("hash").get_to(sums.hash);
  return sums;
}

Manifest parse_manifest(const json& object, const std::string& path) {
  // Sizes in bytes are computed from these: keep them far from overflow.
  constexpr uint64_t kMost = uint64_t{1} << 48;
  Manifest manifest;
  object.at("split").get_to(manifest.split);
  object.at("validation_share").get_to(manifest.validation_share);
  manifest.split_seed =
      read_count(object, "split_seed", std::numeric_limits<uint64_t>::max(), path);
  object.at("tokenizer_hash").get_to(manifest.tokenizer_hash);
  manifest.vocab_size = static_cast<int32_t>(
      read_count(object, "vocab_size", std::numeric_limits<int32_t>::max(), path));
  manifest.token_bytes = static_cast<int32_t>(read_count(object, "token_bytes", 4, path));
  manifest.tokens = read_count(object, "tokens", kMost, path);
  manifest.documents = read_count(object, "documents", kMost, path);
  object.at("sources").get_to(manifest.sources);
  uint64_t tokens = 0, documents = 0;
  for (const json& entry : object.at("shards")) {
    ShardEntry shard;
    entry.at("name").get_to(shard.name);
    shard.tokens = read_count(entry, "tokens", kMost, path);
    shard.documents = read_count(entry, "documents", kMost, path);
    entry.at("tokens_hash").get_to(shard.tokens_hash);
    entry.at("index_hash").get_to(shard.index_hash);
    require(is_shard_name(shard.name), format("strange shard name '{}'", shard.name), path);
    require(tokens <= kMost && documents <= kMost, "impossible shard sizes", path);
    tokens += shard.tokens;
    documents += shard.documents;
    manifest.shards.push_back(std::move(shard));
  }
  require(tokens == manifest.tokens && documents == manifest.documents,
          "the shards do not add up to the totals", path);
  if (object.contains("pieces")) manifest.pieces = piece_sums_of(object.at("pieces"), path);
  require(manifest.vocab_size > 0, "vocab_size is not positive", path);
  require(manifest.token_bytes == 4 || (manifest.token_bytes == 2 && manifest.vocab_size <= 65536),
          "token_bytes does not fit vocab_size", path);
  return manifest;
}

}  // namespace

std::string Manifest::to_json() const {
  nlohmann::ordered_json shard_list = nlohmann::ordered_json::array();
  for (const ShardEntry& shard : shards) {
    shard_list.push_back({{"name", shard.name},
                          {"tokens", shard.tokens},
                          {"documents", shard.documents},
                          {"tokens_hash", shard.tokens_hash},
                          {"index_hash", shard.index_hash}});
  }
  nlohmann::ordered_json object = {
      {"format", kFormatName},    {"version", kVersion},
      {"split", split},           {"validation_share", validation_share},
      {"split_seed", split_seed}, {"tokenizer_hash", tokenizer_hash},
      {"vocab_size", vocab_size}, {"token_bytes", token_bytes},
      {"tokens", tokens},         {"documents", documents},
      {"sources", sources},       {"read", read.to_json()},
      {"shards", shard_list}};
  if (pieces) object["pieces"] = {{"bytes", pieces->bytes}, {"hash", pieces->hash}};
  std::string text =
      object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (!pieces) return text;
  text.resize(text.size() - 3);  // the end of the object
  return text + checksum_tail(text);
}

Manifest Manifest::from_json(const std::string& text, const std::string& path) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  require(object.is_object() && object.value("format", json()) == kFormatName,
          "not a description of prepared data", path);
  const json version = object.value("version", json());
  require(version.is_number_integer(), "no version number", path);
  if (version.get<int64_t>() != kVersion) {
    throw usage_error(format("prepared data of version {}", version.get<int64_t>()), path,
                      format("this program reads version {}: prepare the data again", kVersion));
  }
  if (object.contains("pieces") || object.contains("checksum")) check_checksum(text, path);
  try {
    return parse_manifest(object, path);
  } catch (const json::exception& error) {
    throw damaged_error(format("unsound description of prepared data ({})", error.what()), path,
                        "prepare the data again");
  }
}

}  // namespace switchyard
