#include "data/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/error_of.h"

namespace switchyard {
namespace {

using nlohmann::json;
using testing::error_of;
using ::testing::HasSubstr;

Manifest sample() {
  Manifest manifest;
  manifest.split = "train";
  manifest.validation_share = 0.25;
  manifest.split_seed = ~uint64_t{0};
  manifest.tokenizer_hash = "0123456789abcdef";
  manifest.vocab_size = 300;
  manifest.tokens = 30;
  manifest.documents = 3;
  manifest.sources = {"a \"b\"\n", "\xFF"};
  manifest.shards = {{"shard-00000", 10, 1, "aa", "bb"}, {"shard-00001", 20, 2, "cc", "dd"}};
  return manifest;
}

/// The error for the sample with one value put in the place of another; none if it is accepted.
ErrorKind kind_with(const std::string& pointer, const json& value) {
  json object = json::parse(sample().to_json());
  object[json::json_pointer(pointer)] = value;
  return error_of([&] { Manifest::from_json(object.dump(), "dataset.json"); }).kind();
}

TEST(Manifest, ReadsBack) {
  const std::string text = sample().to_json();
  const Manifest manifest = Manifest::from_json(text, "dataset.json");
  EXPECT_EQ(manifest.split, "train");
  EXPECT_EQ(manifest.split_seed, ~uint64_t{0});
  EXPECT_EQ(manifest.shards[1].documents, 2u);
  EXPECT_EQ(manifest.shards[1].index_hash, "dd");
  EXPECT_EQ(manifest.sources[1], "\uFFFD") << "a name that is not UTF-8 is mended";
}

TEST(Manifest, OtherVersionsAreToldFromDamage) {
  EXPECT_EQ(kind_with("/version", 2), ErrorKind::kUsage);
  EXPECT_EQ(kind_with("/version", "1"), ErrorKind::kDamaged);
  EXPECT_EQ(kind_with("/format", "something else"), ErrorKind::kDamaged);
  const Error error = error_of([] { Manifest::from_json("{}", "dataset.json"); });
  EXPECT_EQ(error.where_part(), "dataset.json");
}

TEST(Manifest, EverySizeIsChecked) {
  for (const json& value : {json(-1), json(1.5), json("10"), json(nullptr), json(uint64_t{1} << 60),
                            json(11), json::array()}) {
    for (const char* pointer :
         {"/tokens", "/documents", "/shards/0/tokens", "/shards/1/documents"}) {
      EXPECT_EQ(kind_with(pointer, value), ErrorKind::kDamaged) << pointer << " " << value;
    }
  }
  for (const json& value : {json(0), json(-5), json((uint64_t{1} << 32) + 300), json(2.5)}) {
    EXPECT_EQ(kind_with("/vocab_size", value), ErrorKind::kDamaged) << value;
  }
  for (const json& value : {json(0), json(1), json(3), json(8), json((uint64_t{1} << 32) + 2)}) {
    EXPECT_EQ(kind_with("/token_bytes", value), ErrorKind::kDamaged) << value;
  }
  EXPECT_EQ(kind_with("/vocab_size", 70000), ErrorKind::kDamaged) << "not in two bytes";
}

TEST(Manifest, ShardNamesStayInTheFolder) {
  for (const char* name : {"../shard-00000", "shard-0/../../x", "/etc/passwd", "shard-", "",
                           "shard-00000\n", "shard-000000000000000000000000001"}) {
    EXPECT_EQ(kind_with("/shards/0/name", name), ErrorKind::kDamaged) << name;
  }
}

}  // namespace
}  // namespace switchyard
