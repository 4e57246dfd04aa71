#include "checkpoint/tensor_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/hash.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class TensorFilesTest : public ::testing::Test {
 protected:
  TensorFilesTest() : path_(::testing::TempDir() + format("tensor-files-{}", ::getpid())) {
    fs::remove_all(path_);
    make_directories(path_);
  }
  ~TensorFilesTest() override { fs::remove_all(path_); }

  /// Tensors t0, t1, ... of 4, 8, 12, ... bytes, each filled with its number.
  void write(size_t count, uint64_t shard_bytes) {
    std::vector<TensorSpec> specs;
    for (size_t i = 0; i < count; ++i) {
      specs.push_back({format("t{}", i), DType::kF32, {static_cast<int64_t>(i) + 1}});
    }
    write_tensor_files(
        path_, specs, {.shard_bytes = shard_bytes}, [&](size_t i, SafetensorsWriter& file) {
          const std::vector<std::byte> bytes(specs[i].bytes(), static_cast<std::byte>(i));
          file.write(bytes);
        });
  }

  void expect_refused(const std::string& what, ErrorKind kind = ErrorKind::kDamaged) const {
    try {
      const TensorFiles files(path_);
      ADD_FAILURE() << "accepted: " << what;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
      EXPECT_EQ(error.kind(), kind) << error.what();
    }
  }

  void write_index(const std::string& map) const {
    write_file(path_ + "/" + kWeightsIndex, format(R"({{"weight_map":{}}})", map));
  }

  std::string path_;
};

TEST_F(TensorFilesTest, OneFileOrShards) {
  for (const uint64_t shard_bytes : {uint64_t{1000}, uint64_t{20}, uint64_t{1}}) {
    fs::remove_all(path_);
    make_directories(path_);
    write(4, shard_bytes);
    EXPECT_EQ(fs::exists(path_ + "/" + kWeightsIndex), shard_bytes < 1000);
    EXPECT_EQ(fs::exists(path_ + "/model-00004-of-00004.safetensors"), shard_bytes == 1);
    const TensorFiles files(path_);
    EXPECT_EQ(files.tensors().size(), 4u);
    EXPECT_EQ(files.numel(), 1u + 2 + 3 + 4);
    for (size_t i = 0; i < 4; ++i) {
      const StoredTensor* tensor = files.find(format("t{}", i));
      ASSERT_TRUE(tensor);
      EXPECT_EQ(tensor->data().size(), 4 * (i + 1));
      EXPECT_EQ(tensor->data().back(), static_cast<std::byte>(i));
    }
  }
}

TEST_F(TensorFilesTest, TellsTheChecksumsOfWhatItWrote) {
  const std::vector<TensorSpec> specs = {
      {"big", DType::kU8, {600'000}}, {"none", DType::kF32, {0}}, {"small", DType::kU8, {3}}};
  std::vector<std::byte> bytes(600'000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * i >> 8);
  for (const uint64_t shard_bytes : {uint64_t{1'000'000}, uint64_t{10}}) {
    const auto entries = write_tensor_files(
        path_, specs, {"state", shard_bytes}, [&](size_t i, SafetensorsWriter& file) {
          const std::span all = std::span(bytes).first(specs[i].bytes());
          file.write(all.first(all.size() / 3));
          file.write(all.subspan(all.size() / 3));
        });
    const TensorFiles files(path_, "state");
    EXPECT_EQ(entries.size(), shard_bytes == 10 ? 2u : 1u);
    size_t tensors = 0;
    for (const ManifestEntry& entry : entries) {
      const std::string text = read_file(path_ + "/" + entry.path);
      EXPECT_EQ(entry.bytes, text.size());
      EXPECT_EQ(entry.hash, to_hex(hash64(text)));
      for (const auto& [name, hash] : entry.tensors) {
        EXPECT_EQ(hash, to_hex(hash64(files.find(name)->data()))) << name;
        ++tensors;
      }
    }
    EXPECT_EQ(tensors, 3u);
    for (const ManifestEntry& entry : entries) fs::remove(path_ + "/" + entry.path);
  }
}

TEST_F(TensorFilesTest, DirectoriesWithoutWeights) {
  expect_refused("no model.safetensors", ErrorKind::kUsage);
  write_file(path_ + "/pytorch_model.bin", "x");
  expect_refused("pickle", ErrorKind::kUsage);
}

TEST_F(TensorFilesTest, HostileIndices) {
  write(3, 1);
  const std::string good = read_file(path_ + "/" + kWeightsIndex);
  for (const char* shard : {R"("/etc/passwd")", R"("../x.safetensors")", R"("a/b.safetensors")",
                            R"("..")", R"("")", R"("model.safetensors.index.json")",
                            R"(".safetensors")", R"(7)", R"("x\u0000.safetensors")"}) {
    write_index(format(R"({{"t0":{}}})", shard));
    expect_refused("a shard must be");
  }
  write_index(R"({"t0":"none.safetensors"})");
  expect_refused("none.safetensors is missing");
  write_index(R"({"t1":"model-00001-of-00003.safetensors"})");
  expect_refused("tensor 't1' is not in the shard");
  write_index("[]");
  expect_refused("no weight_map");
  write_file(path_ + "/" + kWeightsIndex, good.substr(0, good.size() / 2));
  expect_refused("not valid JSON");
  write_file(path_ + "/" + kWeightsIndex, good);
  fs::copy_file(path_ + "/model-00001-of-00003.safetensors",
                path_ + "/model-00002-of-00003.safetensors", fs::copy_options::overwrite_existing);
  expect_refused("two shards hold the same tensor");
  fs::remove(path_ + "/model-00002-of-00003.safetensors");
  expect_refused("model-00002-of-00003.safetensors is missing");
}

}  // namespace
}  // namespace switchyard
