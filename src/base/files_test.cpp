#include "base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "base/error.h"
#include "tests/error_of.h"
#include "tests/small_disk.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using ::testing::HasSubstr;
using testing::SmallDisk;
using testing::TemporaryFolder;

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

TEST(MappedFile, GivesTheBytes) {
  const TemporaryFolder folder;
  const std::string text("a\0b\n", 4);
  write_file(folder / "file", text);
  MappedFile file(folder / "file");
  EXPECT_EQ(file.text(), text);
  EXPECT_EQ(file.bytes().size(), 4u);
  EXPECT_EQ(file.path(), folder / "file");
  const MappedFile moved = std::move(file);
  EXPECT_EQ(moved.text(), text);
  write_file(folder / "empty", "");
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
}

TEST(MappedFile, MistakesAreUsageErrors) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const std::string& path :
       {folder / "none", folder.path(), folder / "none/file", std::string("/dev/null")}) {
    const Error error = error_of([&] { MappedFile file(path); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
    EXPECT_EQ(error.where_part(), path);
  }
}

TEST(MappedFile, APipeIsRefusedAtOnce) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const Error error = error_of([&] { MappedFile file(folder / "pipe"); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
}

TEST(AtomicFileWriter, WholeFileOrNone) {
  const TemporaryFolder folder;
  {
    AtomicFileWriter file(folder / "file");
    file.write("half");
    EXPECT_EQ(file.size(), 4u);
    EXPECT_FALSE(fs::exists(folder / "file"));
  }
  EXPECT_TRUE(names_in(folder.path()).empty()) << "the temporary file is gone";
  AtomicFileWriter file(folder / "file");
  file.write("whole");
  file.commit();
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"file"});
  EXPECT_EQ(read_file(folder / "file"), "whole");
}

TEST(AtomicFileWriter, WritesOfAnySizeAreJoined) {
  const TemporaryFolder folder;
  std::string expected;
  AtomicFileWriter file(folder / "file");
  for (const size_t size : {1, 100000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20, 0, 7}) {
    const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
    file.write(piece);
    expected += piece;
    EXPECT_EQ(file.size(), expected.size());
  }
  file.commit();
  EXPECT_TRUE(read_file(folder / "file") == expected);
}

TEST(AtomicFileWriter, AFileThatIsThereStaysUntilTheEnd) {
  const TemporaryFolder folder;
  write_file(folder / "file", "old");
  {
    AtomicFileWriter file(folder / "file");
    file.write("new");
    EXPECT_EQ(read_file(folder / "file"), "old");
  }
  EXPECT_EQ(read_file(folder / "file"), "old");
  write_file(folder / "file", "new");
  EXPECT_EQ(read_file(folder / "file"), "new");
}

TEST(AtomicFileWriter, APlaceThatCannotBeWrittenIsNamed) {
  const TemporaryFolder folder;
  make_directories(folder / "folder/inner");
  write_file(folder / "file", "");
  const Error over_folder = error_of([&] { write_file(folder / "folder", "x"); });
  EXPECT_THAT(over_folder.what(), HasSubstr(folder / "folder"));
  const Error no_parent = error_of([&] { write_file(folder / "none/file", "x"); });
  EXPECT_EQ(no_parent.kind(), ErrorKind::kUsage);
  EXPECT_EQ(no_parent.where_part(), folder / "none/file");
  const Error in_file = error_of([&] { write_file(folder / "file/file", "x"); });
  EXPECT_EQ(in_file.kind(), ErrorKind::kUsage);
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"file", "folder"}));
}

TEST(AtomicFileWriter, FullDiskLeavesNothing) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.path(), 256);
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a small disk";
  const Error error = error_of([&] { write_file(folder / "file", std::string(2 << 20, 'x')); });
  EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
  EXPECT_EQ(std::string(error.what()), "cannot write: No space left on device; " +
                                           (folder / "file") +
                                           "; free some disk space and try again");
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(AtomicFileWriter, ReadOnlyDiskIsNamed) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.path(), 256);
  if (!disk.mounted() || !disk.make_read_only()) {
    GTEST_SKIP() << "this process may not mount a small disk";
  }
  const Error error = error_of([&] { AtomicFileWriter file(folder / "file"); });
  EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
  EXPECT_THAT(error.what(), HasSubstr("Read-only file system; " + (folder / "file")));
}

// Runs as a process of its own, since limits of the process cannot be raised again.
TEST(AtomicFileWriter, SizeLimitLeavesNothing) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit { 1 << 16, 1 << 16 };
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file(folder / "file", std::string(1 << 17, 'x'));
    } catch (const Error& error) {
      ::_exit(error.kind() == ErrorKind::kRuntime ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(Files, ReadFile) {
  const TemporaryFolder folder;
  const std::string text(200000, 'y');
  write_file(folder / "file", text);
  EXPECT_EQ(read_file(folder / "file"), text);
  EXPECT_EQ(error_of([&] { read_file(folder / "none"); }).kind(), ErrorKind::kUsage);
  EXPECT_EQ(error_of([&] { read_file(folder.path()); }).kind(), ErrorKind::kUsage);
}

TEST(Files, AppendFileAddsToWhatIsThere) {
  const TemporaryFolder folder;
  for (const char* line : {"one\n", "two\n"}) {
    AppendFile file(folder / "log");
    file.append(line);
    file.sync();
  }
  EXPECT_EQ(read_file(folder / "log"), "one\ntwo\n");
  EXPECT_EQ(error_of([&] { AppendFile file(folder / "none/log"); }).kind(), ErrorKind::kUsage);
}

TEST(Files, DirectoriesAreMadeOrNamed) {
  const TemporaryFolder folder;
  make_directories(folder / "a/b/c");
  make_directories(folder / "a/b/c");
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  write_file(folder / "file", "");
  for (const std::string& path : {folder / "file", folder / "file/below"}) {
    const Error error = error_of([&] { make_directories(path); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
    EXPECT_EQ(error.where_part(), path);
  }
}

TEST(Files, CommitDirectoryRenames) {
  const TemporaryFolder folder;
  make_directories(folder / "temporary");
  write_file(folder / "temporary/file", "x");
  commit_directory(folder / "temporary", folder / "final");
  EXPECT_EQ(read_file(folder / "final/file"), "x");
  EXPECT_FALSE(fs::exists(folder / "temporary"));
  make_directories(folder / "more");
  EXPECT_THROW(commit_directory(folder / "more", folder / "final"), Error) << "holds a file";
  EXPECT_EQ(read_file(folder / "final/file"), "x");
}

}  // namespace
}  // namespace switchyard
