#include "text/model_check.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "tests/temporary_folder.h"
#include "text/test_models.h"
#include "text/tokenizer.h"

namespace switchyard {
namespace {

using testing::proto_field;

/// A model of nothing but a normalization table: a trie of `units`, then `text`.
std::string table_model(const std::vector<uint32_t>& units, const std::string& text) {
  std::string table(4, '\0');
  const auto size = static_cast<uint32_t>(units.size() * 4);
  std::memcpy(table.data(), &size, 4);
  table.append(reinterpret_cast<const char*>(units.data()), size);
  return proto_field(3, proto_field(2, table + text));
}

TEST(ModelCheck, SoundModelsPass) {
  EXPECT_EQ(find_model_damage(testing::small_model()), "");
  EXPECT_EQ(find_model_damage(""), "");
}

TEST(ModelCheck, TablesThatLeadOutOfThemselvesAreFound) {
  const std::string text("abc\0", 4);
  const std::vector<uint32_t> leaf(256, 0x80000000u);
  EXPECT_EQ(find_model_damage(table_model(leaf, text)), "");
  EXPECT_NE(find_model_damage(table_model({}, text)), "") << "no trie";
  EXPECT_NE(find_model_damage(table_model(std::vector<uint32_t>(100, 0x80000000u), text)), "");
  EXPECT_NE(find_model_damage(table_model(leaf, "abc")), "") << "text without an end";
  EXPECT_NE(find_model_damage(table_model(leaf, "")), "") << "no text";
  EXPECT_NE(find_model_damage(proto_field(3, proto_field(2, "ab"))), "") << "no size";

  std::vector<uint32_t> far = leaf;
  far[3] = 5000u << 10;
  EXPECT_NE(find_model_damage(table_model(far, text)), "") << "next unit outside";
  std::vector<uint32_t> value = leaf;
  value[3] = 1u << 10 | 1u << 8;  // has a value, in unit 3 ^ 1
  value[2] = 0x80000000u | 3;
  EXPECT_EQ(find_model_damage(table_model(value, text)), "");
  value[2] = 0x80000000u | 4;
  EXPECT_NE(find_model_damage(table_model(value, text)), "") << "value outside the text";
}

TEST(ModelCheck, ASecondTableIsCheckedToo) {
  const std::string bad = table_model(std::vector<uint32_t>(100, 0), "");
  EXPECT_NE(find_model_damage(testing::small_model() + bad), "");
  std::string denormalizer = bad;
  denormalizer[0] = 5 << 3 | 2;
  EXPECT_NE(find_model_damage(testing::small_model() + denormalizer), "");
}

// Models with bytes changed, cut out or doubled: an Error or a tokenizer that works, never a crash.
TEST(ModelCheck, DamagedModelsNeverCrash) {
  const testing::TemporaryFolder folder;
  const std::string sound = testing::small_model(300);
  // The pieces come first and the settings last; the table between is nearly all of the file.
  const std::string text = "bata dolu \u00e9t\u00e9 \ufb01 <extra_id_3> \u4e2d\xFF 1984";
  int refused = 0;
  constexpr uint64_t kTries = 400;
  for (uint64_t i = 0; i < kTries; ++i) {
    std::string model = sound;
    const RandomStream draws(2, kRandomTest, i);
    uint64_t at = 0;
    const auto place = [&] {
      const uint64_t where = draws.below(++at, 3);
      const uint64_t range = where == 0 ? 4000 : where == 1 ? 600 : model.size();
      const uint64_t offset = draws.below(++at, std::min<uint64_t>(range, model.size()));
      return where == 1 ? model.size() - 1 - offset : offset;
    };
    for (uint64_t k = 0; k <= draws.below(++at, 4) && !model.empty(); ++k) {
      switch (draws.below(++at, 4)) {
        case 0:
          model[place()] ^= static_cast<char>(1u << draws.below(++at, 8));
          break;
        case 1:
          model[place()] = static_cast<char>(draws.bits(++at));
          break;
        case 2:
          model.erase(place(), 1 + draws.below(++at, 40));
          break;
        default:
          model.insert(place(), model.substr(place(), 1 + draws.below(++at, 40)));
          break;
      }
    }
    std::ofstream(folder / "model", std::ios::binary) << model;
    try {
      const Tokenizer tokenizer(folder / "model");
      const auto ids = tokenizer.encode(text);
      tokenizer.decode(ids);
      for (const int32_t id : ids) tokenizer.piece(id);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
  EXPECT_LT(refused, static_cast<int>(kTries)) << "some changes do no harm";
}

}  // namespace
}  // namespace switchyard
