#include "base/resumable_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ResumableLinesTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "out"; }
  /// Writes lines and is cut off.
  void leave(const std::vector<std::string>& lines, const std::string& job = "a1") {
    ResumableLines file(path(), job);
    for (const std::string& line : lines) file.write(line);
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_.path()), {}));
  }
  testing::TemporaryFolder folder_;
};

TEST_F(ResumableLinesTest, GetsItsNameWhenAllIsThere) {
  ResumableLines file(path(), "a1");
  EXPECT_FALSE(file.next_kept());
  file.write("one");
  file.write("");
  EXPECT_FALSE(fs::exists(path()));
  file.commit();
  EXPECT_EQ(read_file(path()), "one\n\n");
  EXPECT_EQ(files(), 1u);
}

TEST_F(ResumableLinesTest, GoesOnBehindWhatWasLeft) {
  leave({"one", "two"});
  std::ofstream(folder_ / "out.partial-a1", std::ios::app) << "thr";  // killed within a line
  ResumableLines file(path(), "a1");
  EXPECT_EQ(file.next_kept(), "one");
  EXPECT_EQ(file.next_kept(), "two");
  EXPECT_FALSE(file.next_kept());
  EXPECT_EQ(file.kept(), 2u);
  file.write("three");
  file.commit();
  EXPECT_EQ(read_file(path()), "one\ntwo\nthree\n");
}

TEST_F(ResumableLinesTest, WhatIsNotAskedForIsCutOff) {
  leave({"one", "two", "three"});
  {
    ResumableLines file(path(), "a1");
    EXPECT_EQ(file.next_kept(), "one");
    EXPECT_EQ(file.next_kept(), "two");
    file.drop_last_kept();
    EXPECT_FALSE(file.next_kept());
    EXPECT_EQ(file.kept(), 1u);
    file.write("zwei");
  }
  ResumableLines file(path(), "a1");
  EXPECT_EQ(file.next_kept(), "one");
  file.commit();  // an input that ends earlier
  EXPECT_EQ(read_file(path()), "one\n");
}

TEST_F(ResumableLinesTest, OtherJobsAndWritersAreKeptApart) {
  leave({"one"});
  leave({}, "b2");
  EXPECT_EQ(files(), 1u) << "nothing was written, nothing is left";
  ResumableLines other(path(), "b2");
  EXPECT_FALSE(other.next_kept());
  EXPECT_THAT(error_of([&] { ResumableLines(path(), "b2"); }).what(),
              HasSubstr("another process writes this file; " + path()));
  EXPECT_EQ(ResumableLines(path(), "a1").next_kept(), "one");
}

TEST_F(ResumableLinesTest, PlacesThatCannotBeWrittenAreKnownAtOnce) {
  EXPECT_THAT(error_of([&] { ResumableLines(folder_ / "none/out", "a1"); }).what(),
              HasSubstr("cannot create: No such file or directory; " + folder_ / "none/out"));
  EXPECT_THAT(error_of([&] { ResumableLines(folder_.path(), "a1"); }).what(),
              HasSubstr("the output is not a file"));
  EXPECT_THAT(error_of([&] { ResumableLines("/dev/null", "a1"); }).what(), HasSubstr("not a file"));
}

}  // namespace
}  // namespace switchyard
