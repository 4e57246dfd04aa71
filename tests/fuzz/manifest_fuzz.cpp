// dataset.json of prepared data: the shards add up, ids fit their bytes, names stay in the folder,
// and written again it reads back.
#include "data/manifest.h"

#include "tests/fuzz/target.h"

namespace switchyard {
namespace {

void check_sound(const Manifest& manifest) {
  uint64_t tokens = 0, documents = 0;
  for (const ShardEntry& shard : manifest.shards) {
    fuzz::require(shard.name.find_first_of("/\\.") == std::string::npos,
                  "a name leaves the folder");
    tokens += shard.tokens;
    documents += shard.documents;
  }
  fuzz::require(tokens == manifest.tokens && documents == manifest.documents,
                "shards do not add up");
  fuzz::require(manifest.vocab_size > 0, "no vocabulary");
  fuzz::require(manifest.token_bytes == 4 || manifest.vocab_size <= 65536, "ids do not fit");
  const std::string text = manifest.to_json();
  fuzz::require(Manifest::from_json(text, "again").to_json() == text,
                "another manifest comes back");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  return fuzz::run(
      [&] { return Manifest::from_json(std::string(fuzz::text_of(data, size)), "dataset.json"); },
      check_sound);
}
