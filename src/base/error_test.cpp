#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace switchyard {
namespace {

TEST(Error, PartsJoinIntoOneLine) {
  const Error error = usage_error("what", "where", "hint");
  EXPECT_STREQ(error.what(), "what; where; hint");
  EXPECT_STREQ(usage_error("what").what(), "what");
  EXPECT_STREQ(usage_error("what", "", "hint").what(), "what; hint");
  EXPECT_STREQ(usage_error("a\nb", "c\rd", "\x1b[31m").what(), "a b; c d;  [31m");
}

TEST(Error, KindsAreExitCodes) {
  EXPECT_EQ(runtime_failure("x").exit_code(), 1);
  EXPECT_EQ(usage_error("x").exit_code(), 2);
  EXPECT_EQ(damaged_error("x").exit_code(), 3);
}

TEST(Error, SystemFailuresTellMistakesFromTrouble) {
  EXPECT_EQ(system_failure("cannot open", "f", ENOENT).kind(), ErrorKind::kUsage);
  EXPECT_EQ(system_failure("cannot open", "f", EISDIR).kind(), ErrorKind::kUsage);
  EXPECT_EQ(system_failure("cannot open", "f/g", ENOTDIR).kind(), ErrorKind::kUsage);
  EXPECT_EQ(system_failure("cannot write", "f", ENOSPC).kind(), ErrorKind::kRuntime);
  EXPECT_EQ(system_failure("cannot write", "f", EACCES).kind(), ErrorKind::kRuntime);
  EXPECT_STREQ(system_failure("cannot write", "f", ENOSPC).what(),
               "cannot write: No space left on device; f; free some disk space and try again");
}

TEST(Error, EditDistance) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("flaw", "lawn"), 2);
}

TEST(Error, NearestName) {
  const std::vector<std::string> names = {"train.steps", "train.seed", "model.d_model"};
  EXPECT_EQ(nearest_name("train.step", names), "train.steps");
  EXPECT_EQ(nearest_name("model.dmodel", names), "model.d_model");
  EXPECT_EQ(nearest_name("zzzzzzzzzzzzzzzzzzzz", names), "");
  EXPECT_EQ(nearest_name("x", std::vector<std::string>{}), "");
}

}  // namespace
}  // namespace switchyard
