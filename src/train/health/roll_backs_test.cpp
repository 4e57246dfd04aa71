#include "train/health/roll_backs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(RollBacks, AreReadBackAsWritten) {
  const testing::TemporaryFolder folder;
  EXPECT_TRUE(read_roll_backs(folder.path()).empty());
  write_roll_backs(folder.path(), {{11, 5, 5, 11, "the loss became nan"}, {30, 25, 31, 36, "x"}});
  const std::vector<RollBack> all = read_roll_backs(folder.path());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].step, 11);
  EXPECT_EQ(all[0].checkpoint, 5);
  EXPECT_EQ(all[0].reason, "the loss became nan");
  EXPECT_THAT(batches_skipped_by(all).ranges(), ElementsAre(Pair(5, 11), Pair(31, 36)));
}

TEST(RollBacks, DamageIsFound) {
  const testing::TemporaryFolder folder;
  for (const char* text : {"", "{}", "[1]", "{\"roll_backs\": [{\"step\": 1}]}"}) {
    folder.put("roll_backs.json", text);
    const Error error = testing::error_of([&] { read_roll_backs(folder.path()); });
    EXPECT_EQ(error.kind(), ErrorKind::kDamaged) << text;
  }
}

}  // namespace
}  // namespace switchyard
