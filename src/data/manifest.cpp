#include "data/manifest.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"

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

Manifest parse_manifest(const json& object, const std::string& path) {
  Manifest manifest;
  object.at("split").get_to(manifest.split);
  object.at("validation_share").get_to(manifest.validation_share);
  object.at("split_seed").get_to(manifest.split_seed);
  object.at("tokenizer_hash").get_to(manifest.tokenizer_hash);
  object.at("vocab_size").get_to(manifest.vocab_size);
  object.at("token_bytes").get_to(manifest.token_bytes);
  object.at("tokens").get_to(manifest.tokens);
  object.at("documents").get_to(manifest.documents);
  object.at("sources").get_to(manifest.sources);
  uint64_t tokens = 0, documents = 0;
  for (const json& entry : object.at("shards")) {
    ShardEntry shard;
    entry.at("name").get_to(shard.name);
    entry.at("tokens").get_to(shard.tokens);
    entry.at("documents").get_to(shard.documents);
    entry.at("tokens_hash").get_to(shard.tokens_hash);
    entry.at("index_hash").get_to(shard.index_hash);
    require(is_shard_name(shard.name), format("strange shard name '{}'", shard.name), path);
    // Sizes in bytes are computed from these: keep them far from overflow.
    constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max() >> 16;
    require(shard.tokens < kMost && shard.documents < kMost && tokens < kMost,
            "impossible shard size", path);
    tokens += shard.tokens;
    documents += shard.documents;
    manifest.shards.push_back(std::move(shard));
  }
  require(tokens == manifest.tokens && documents == manifest.documents,
          "the shards do not add up to the totals", path);
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
  const nlohmann::ordered_json object = {{"format", kFormatName},
                                         {"version", kVersion},
                                         {"split", split},
                                         {"validation_share", validation_share},
                                         {"split_seed", split_seed},
                                         {"tokenizer_hash", tokenizer_hash},
                                         {"vocab_size", vocab_size},
                                         {"token_bytes", token_bytes},
                                         {"tokens", tokens},
                                         {"documents", documents},
                                         {"sources", sources},
                                         {"read", read.to_json()},
                                         {"shards", shard_list}};
  return object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
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
  try {
    return parse_manifest(object, path);
  } catch (const json::exception& error) {
    throw damaged_error(format("unsound description of prepared data ({})", error.what()), path,
                        "prepare the data again");
  }
}

}  // namespace switchyard
