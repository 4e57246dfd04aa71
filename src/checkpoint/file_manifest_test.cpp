#include "checkpoint/file_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "checkpoint/tensor_files.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class FileManifestTest : public ::testing::Test {
 protected:
  FileManifestTest() : path_(::testing::TempDir() + format("manifest-{}", ::getpid())) {
    fs::remove_all(path_);
    make_directories(path_ + "/training_state");
    write_file(path_ + "/config.json", "{}");
    write_file(path_ + "/training_state/state.json", "state");
    write_file_manifest(path_);
  }
  ~FileManifestTest() override { fs::remove_all(path_); }

  void expect_damaged(const std::string& what) const {
    try {
      verify_files(path_);
      ADD_FAILURE() << "accepted: " << what;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
      EXPECT_EQ(error.kind(), ErrorKind::kDamaged);
    }
  }
  std::string path_;
};

TEST_F(FileManifestTest, AcceptsWhatItListed) {
  EXPECT_TRUE(has_file_manifest(path_));
  verify_files(path_);
  const auto entries = read_file_manifest(path_);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].path, "training_state/state.json");
  EXPECT_EQ(entries[1].bytes, 5u);
  write_file(path_ + "/notes.txt", "more");
  verify_files(path_);
}

TEST_F(FileManifestTest, SeesEveryChange) {
  write_file(path_ + "/training_state/state.json", "statE");
  expect_damaged("state.json");
  write_file(path_ + "/training_state/state.json", "stat");
  expect_damaged("4 bytes instead of 5");
  fs::remove(path_ + "/training_state/state.json");
  expect_damaged("missing; ");
  fs::remove(path_ + "/" + kFileManifest);
  EXPECT_FALSE(has_file_manifest(path_));
  expect_damaged("manifest.json");
}

TEST_F(FileManifestTest, KnownFilesAreNotReadAgain) {
  write_file_manifest(path_, {{"config.json", 2, "00000000000000ff", {{"a", "1"}, {"b", "2"}}}});
  const auto entries = read_file_manifest(path_);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].hash, "00000000000000ff");
  EXPECT_EQ(entries[0].tensors.at("b"), "2");
  expect_damaged("config.json");
}

TEST_F(FileManifestTest, NamesTheDamagedTensor) {
  const std::vector<TensorSpec> specs = {{"first", DType::kU8, {8}}, {"second", DType::kU8, {8}}};
  const std::vector<std::byte> bytes(8);
  write_file_manifest(
      path_, write_tensor_files(path_, specs, {},
                                [&](size_t, SafetensorsWriter& file) { file.write(bytes); }));
  verify_files(path_);
  std::string text = read_file(path_ + "/model.safetensors");
  const std::string good = text;
  text.back() = 'x';
  write_file(path_ + "/model.safetensors", text);
  expect_damaged("tensor 'second', offset " + std::to_string(text.size() - 8));
  text = good;
  text[20] = '\n';  // in the header
  write_file(path_ + "/model.safetensors", text);
  expect_damaged("checksum; " + path_ + "/model.safetensors; ");
}

TEST_F(FileManifestTest, OnlyItsVeryTextWillDo) {
  const std::string file = path_ + "/" + kFileManifest, good = read_file(file);
  for (const std::string& text : {good + " ", good + "\n", " " + good, good.substr(1),
                                  good.substr(0, good.size() - 1), std::string()}) {
    write_file(file, text);
    EXPECT_THROW(verify_files(path_), Error) << text;
  }
  // One more key, one less file, another order, a newer version.
  for (const auto& [from, to] : {std::pair{"\"version\": 2,", "\"version\": 2, \"more\": 1,"},
                                 {"\"version\": 2", "\"version\": 3"},
                                 {"\"version\": 2", "\"version\": 1"},
                                 {"\"version\": 2", "\"version\": \"2\""},
                                 {"\"bytes\": 2", "\"bytes\": 2, \"byte\": 2"}}) {
    std::string text = good;
    text.replace(text.find(from), std::string(from).size(), to);
    write_file(file, text);
    EXPECT_THROW(verify_files(path_), Error) << text;
  }
  write_file(file, good);
  verify_files(path_);
}

TEST_F(FileManifestTest, TheFirstVersionIsRead) {
  const std::string text = R"({
  "format": "switchyard files",
  "version": 1,
  "files": [
    {
      "path": "config.json",
      "bytes": 2,
      "xxh3": "HASH"
    }
  ]
}
)";
  const std::string hash = read_file_manifest(path_)[0].hash;
  std::string sound = text;
  sound.replace(sound.find("HASH"), 4, hash);
  write_file(path_ + "/" + kFileManifest, sound);
  verify_files(path_);
  write_file(path_ + "/" + kFileManifest, sound + " ");
  expect_damaged("does not match its checksum");
  write_file(path_ + "/" + kFileManifest, text);
  expect_damaged("config.json");
}

TEST_F(FileManifestTest, HostileManifests) {
  const std::string file = path_ + "/" + kFileManifest;
  const std::string good = read_file(file);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    write_file(file, text);
  };
  for (const char* path : {"/etc/passwd", "../config.json", "a/../../b", ""}) {
    with("config.json", path);
    expect_damaged("strange path");
  }
  with("\"bytes\"", "\"byte\"");
  expect_damaged("lacks");
  for (const char* bytes : {"\"2\"", "-2", "2.5", "1e300"}) {
    with("\"bytes\": 2", format("\"bytes\": {}", bytes));
    expect_damaged("strange size");
  }
  with("switchyard files", "other");
  expect_damaged("not a list of files");
  write_file(file, good.substr(0, good.size() / 2));
  expect_damaged("not valid JSON");
}

}  // namespace
}  // namespace switchyard
