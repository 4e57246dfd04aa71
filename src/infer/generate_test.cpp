#include "infer/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "infer/function_decoder.h"

namespace switchyard {
namespace {

using testing::FunctionDecoder;
using ::testing::HasSubstr;

GenerateOptions with(int64_t num_beams, int64_t num_return, bool sample) {
  GenerateOptions options;
  options.max_new_tokens = 3;
  options.num_beams = num_beams;
  options.num_return = num_return;
  options.sample = sample;
  return options;
}

void expect_refused(const GenerateOptions& options, const std::string& message) {
  try {
    options.validate(10, "command line");
    FAIL() << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

TEST(Generate, RefusesWhatDoesNotGoTogether) {
  expect_refused(with(2, 1, true), "sampling and beams");
  expect_refused(with(1, 2, false), "--num-return 2");
  expect_refused(with(3, 4, false), "--num-return 4");
  expect_refused(with(6, 1, false), "--num-beams 6");
  with(5, 5, false).validate(10, "");
  with(1, 9, true).validate(10, "");
}

TEST(Generate, GivesAsManyAsAskedInEveryWay) {
  for (const GenerateOptions& options : {with(1, 1, false), with(4, 3, false), with(1, 5, true)}) {
    FunctionDecoder decoder(2, 10, [](int64_t, const std::vector<int64_t>&) {
      return std::vector<float>{-9, -3, -1, -2, -4, -4, -4, -4, -4, -4};
    });
    const auto made = generate(decoder, {1, 2}, options);
    ASSERT_EQ(made.size(), 2u);
    for (const auto& own : made) {
      EXPECT_EQ(own.size(), static_cast<size_t>(options.num_return));
      if (!options.sample) {
        EXPECT_EQ(own[0].ids, (std::vector<int32_t>{2, 2, 2}));
      }
    }
  }
}

}  // namespace
}  // namespace switchyard
