#include "base/file_faults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

constexpr const char* kOld = "old text";
constexpr const char* kNew = "the new text";

TEST(FileFaults, AreRead) {
  const FileFault fault = parse_file_fault("crash-within@12:checkpoints/:x");
  EXPECT_EQ(fault.kind, FaultKind::kCrashWithin);
  EXPECT_EQ(fault.at, 12);
  EXPECT_EQ(fault.part, "checkpoints/:x");
  EXPECT_EQ(parse_file_fault("eio@1").part, "");
  for (const char* text : {"", "@", "eio", "eio@", "eio@0", "eio@-1", "eio@1x", "fire@1", ":eio@1",
                           "eio:@1", "eio@:1"}) {
    EXPECT_EQ(error_of([&] { parse_file_fault(text); }).kind(), ErrorKind::kUsage) << text;
  }
}

TEST(FileFaults, StrikeTheCallTheyName) {
  const TemporaryFolder folder;
  for (const auto& [kind, text] :
       {std::pair{FaultKind::kDiskFull, "No space"}, {FaultKind::kInputOutput, "Input/output"}}) {
    const FileFaults faults({kind, 2, "b"});
    write_file(folder / "a", kNew);
    EXPECT_FALSE(faults.has_struck());
    EXPECT_THAT(error_of([&] { write_file(folder / "b", kNew); }).what(), HasSubstr(text));
    EXPECT_TRUE(faults.has_struck());
    EXPECT_FALSE(fs::exists(folder / "b"));
  }
  write_file(folder / "b", kNew);
}

// Whatever happens to any call of a replacement, the file is the old one or the new one.
TEST(FileFaults, AReplacedFileIsOldOrNew) {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  int struck = 0;
  for (const FaultKind kind :
       {FaultKind::kDiskFull, FaultKind::kInputOutput, FaultKind::kShortWrite,
        FaultKind::kCrashBefore, FaultKind::kCrashWithin, FaultKind::kCrashAfter}) {
    for (int64_t at = 1;; ++at) {
      write_file(path, kOld);
      bool thrown = false;
      int64_t calls = 0;
      {
        const FileFaults faults({kind, at, ""});
        try {
          write_file(path, kNew);
        } catch (const Error&) {
          thrown = true;
        }
        struck += faults.has_struck();
        calls = faults.calls();
      }
      const std::string text = read_file(path);
      EXPECT_TRUE(text == kOld || text == kNew) << text;
      EXPECT_TRUE(thrown || text == kNew);
      if (calls < at) break;
    }
  }
  // Create, write, sync, rename, sync the folder; half a write is one case each.
  EXPECT_EQ(struck, 4 * 5 + 2);
}

TEST(FileFaults, APretendedCrashLeavesTheDiskAlone) {
  const TemporaryFolder folder;
  {
    const FileFaults faults({FaultKind::kCrashWithin, 2, ""});
    EXPECT_THROW(write_file(folder / "file", "12345678"), Error);
    EXPECT_THROW(make_directories(folder / "more"), Error);
    EXPECT_FALSE(remove_tree(folder.path()));
  }
  const std::string left = folder / ("file.tmp-" + std::to_string(::getpid()));
  EXPECT_EQ(read_file(left), "1234");
  EXPECT_FALSE(fs::exists(folder / "more"));
}

TEST(FileFaults, ACrashEndsTheProcess) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const FileFaults faults({FaultKind::kCrashAfter, 4, ""}, FileFaults::Crash::kKill);
    write_file(folder / "file", kNew);  // the fourth call is the rename
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(read_file(folder / "file"), kNew);
}

}  // namespace
}  // namespace switchyard
