// A folder for the files of one test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "base/files.h"

namespace switchyard::testing {

/// A folder below the tests' temporary folder, removed with its contents at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_(::testing::TempDir() + "switchyard-XXXXXX") {
    if (!::mkdtemp(path_.data())) ADD_FAILURE() << "cannot make " << path_;
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  /// Writes a file and makes the folders on the way to it.
  void put(const std::string& name, const std::string& text) const {
    const std::string path = *this / name;
    make_directories(path.substr(0, path.rfind('/')));
    write_file(path, text);
  }

 private:
  std::string path_;
};

}  // namespace switchyard::testing
