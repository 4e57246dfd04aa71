#include "data/prepared_folders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::counting_documents;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::write_prepared;

class PreparedFolders : public ::testing::Test {
 protected:
  void write(const std::string& name) const {
    write_prepared(folder_ / name, counting_documents(100, 50), 200);
  }
  std::vector<std::string> names(const WeightedPaths& paths, const std::string& split) const {
    std::vector<std::string> names;
    for (const PreparedSource& source : find_prepared(paths, split)) names.push_back(source.name);
    return names;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(PreparedFolders, AFolderStandsForItsLanguages) {
  for (const char* name : {"all/sw/train", "all/de/train", "all/de/validation"}) write(name);
  make_directories(folder_ / "all/notes");
  const std::string all = folder_ / "all";
  EXPECT_THAT(names({{all, 2.5}}, "train"), ElementsAre("de", "sw"));
  EXPECT_THAT(names({{all, 1}}, "validation"), ElementsAre("de"));
  for (const PreparedSource& source : find_prepared({{all + "/", 2.5}}, "train")) {
    EXPECT_EQ(source.weight, 2.5);
    EXPECT_TRUE(source.folder.ends_with("/train")) << source.folder;
  }
}

TEST_F(PreparedFolders, PreparedDataStandsForItself) {
  for (const char* name : {"all/de/train", "english/train"}) write(name);
  EXPECT_THAT(names({{folder_ / "english/train", 1}, {folder_ / "all", 1}}, "train"),
              ElementsAre("english", "de"));
  // Whatever it is, opening it will say more.
  EXPECT_THAT(names({{folder_ / "absent", 1}}, "train"), ElementsAre("absent"));
}

TEST_F(PreparedFolders, NamesAreLongerWhereTheyWouldBeTheSame) {
  for (const char* name : {"old/de/train", "new/de/train", "new/fr/train"}) write(name);
  EXPECT_THAT(names({{folder_ / "old", 1}, {folder_ / "new", 1}}, "train"),
              ElementsAre("old/de", "new/de", "fr"));
}

TEST_F(PreparedFolders, TheSameDataTwiceIsRefused) {
  write("all/de/train");
  const Error error = error_of([&] {
    find_prepared({{folder_ / "all", 1}, {folder_ / "all/de/train/", 1}}, "train");
  });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("twice"));
}

}  // namespace
}  // namespace switchyard
