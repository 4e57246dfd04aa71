#include "serve/api_keys.h"

#include <gtest/gtest.h>

#include "tests/error_of.h"

namespace switchyard {
namespace {

TEST(ApiKeys, NoneLetEverybodyIn) {
  EXPECT_FALSE(ApiKeys().required());
  EXPECT_TRUE(ApiKeys().allow(""));
}

TEST(ApiKeys, OneOfThemIsNeeded) {
  const ApiKeys keys("# of the shop\nalpha\r\n\n  beta-2  \n", "keys");
  EXPECT_TRUE(keys.allow("Bearer alpha"));
  EXPECT_TRUE(keys.allow("bearer  beta-2"));
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "alpha", "Bearer alph", "Bearer alphaa", "Bearer alpha beta-2",
        "Basic alpha", "Bearer # of the shop", "Bearer alphaalpha", "Bearer Alpha"}) {
    EXPECT_FALSE(keys.allow(wrong)) << wrong;
  }
}

TEST(ApiKeys, FilesWithoutASoundKeyAreRefused) {
  for (const char* text : {"", "\n \n# none\n", "two words\n"}) {
    const Error error = testing::error_of([&] { ApiKeys(text, "keys.txt"); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << text;
    EXPECT_EQ(error.where_part(), "keys.txt") << text;
  }
}

}  // namespace
}  // namespace switchyard
