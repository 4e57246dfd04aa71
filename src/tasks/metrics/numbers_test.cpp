#include "tasks/metrics/numbers.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(Numbers, FinalNumber) {
  EXPECT_EQ(final_number("3 + 4 = 7\n#### 7"), "7");
  EXPECT_EQ(final_number("#### 5 and then 6"), "6");
  EXPECT_EQ(final_number("costs $1,234.50."), "1234.5");
  EXPECT_EQ(final_number("18.00"), "18");
  EXPECT_EQ(final_number("it is -40 degrees"), "-40");
  EXPECT_EQ(final_number(".5"), "0.5");
  EXPECT_EQ(final_number("the answer is ...42"), "42");
  EXPECT_EQ(final_number("12 - 5 or 20-5"), "5");
  EXPECT_EQ(final_number(""), "");
  EXPECT_EQ(final_number("none"), "");
  EXPECT_EQ(final_number("5 apples ####"), "");
}

TEST(Numbers, NumberOf) {
  EXPECT_EQ(number_of(" 3.8 "), 3.8);
  EXPECT_EQ(number_of("+1e2"), 100);
  EXPECT_EQ(number_of("3.8 of 5"), -1);
  EXPECT_EQ(number_of("nan"), -1);
  EXPECT_EQ(number_of(""), -1);
}

}  // namespace
}  // namespace switchyard
