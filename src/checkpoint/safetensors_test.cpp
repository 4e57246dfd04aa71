#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A file with `header` as its JSON and `data_bytes` bytes after it.
std::string file_with(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + std::string(data_bytes, '\1');
}

SafetensorsHeader parse(const std::string& file) {
  // A copy of the exact size on the heap: reading beyond it is seen by the address sanitizer.
  const std::vector<char> copy(file.begin(), file.end());
  return parse_safetensors(std::as_bytes(std::span(copy)), "x.safetensors");
}

const std::string kTwo = R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                         R"("b":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}})";

TEST(Safetensors, ReadsSoundFiles) {
  const SafetensorsHeader header = parse(file_with(kTwo, 26));
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_EQ(header.tensors[0].spec.name, "a");
  EXPECT_EQ(header.tensors[0].spec.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header.tensors[0].begin, 8 + kTwo.size());
  EXPECT_EQ(header.tensors[1].spec.dtype, DType::kBF16);
  EXPECT_EQ(header.tensors[1].spec.numel(), 1);
  EXPECT_TRUE(parse(file_with("{}", 0)).tensors.empty());
  EXPECT_EQ(parse(file_with(R"({"__metadata__":{"format":"pt"}}   )", 0)).metadata.at("format"),
            "pt");
  // Empty tensors may share the place of others.
  parse(file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                  R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
                  R"("f":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
                  4));
}

struct Hostile {
  const char* what;  // that the message must contain
  std::string file;
  ErrorKind kind = ErrorKind::kDamaged;
};

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets,
                   size_t data_bytes, const std::string& more = "") {
  return file_with(format(R"({{"t":{{"dtype":{},"shape":{},"data_offsets":{}{}}}}})", dtype, shape,
                          offsets, more),
                   data_bytes);
}

TEST(Safetensors, HostileFilesEndInOneClearLine) {
  const std::string f32 = R"("F32")";
  std::string long_header = file_with("{}", 0), huge_header = long_header;
  long_header[0] = 3;
  std::memset(huge_header.data(), 0xff, 8);
  std::string deep = R"({"t":)" + std::string(5000, '[') + std::string(5000, ']') + "}";
  const std::vector<Hostile> cases = {
      {"too few", ""},
      {"too few", "1234567"},
      {"reach beyond the file", long_header},
      {"longer than the", huge_header},
      {"not a JSON object", file_with("", 0)},
      {"not a JSON object", file_with("[]", 0)},
      {"not a JSON object", file_with(" {}", 0)},
      {"not valid JSON", file_with("{", 0)},
      {"not valid JSON", file_with("{}x", 0)},
      {"not valid JSON", file_with("{\"\xff\":1}", 0)},
      {"nested more than", file_with(deep, 0)},
      {"stands twice", file_with(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                 R"("t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                 2)},
      {"stands twice", tensor(f32, "[1]", "[0,4]", 4, R"(,"shape":[1])")},
      {"unknown key", tensor(f32, "[1]", "[0,4]", 4, R"(,"strides":[1])")},
      {"not an object", file_with(R"({"t":7})", 0)},
      {"__metadata__ is not", file_with(R"({"__metadata__":[]})", 0)},
      {"is not text", file_with(R"({"__metadata__":{"step":3}})", 0)},
      {"dtype is missing", tensor("null", "[1]", "[0,4]", 4)},
      {"not known", tensor(R"("F31")", "[1]", "[0,4]", 4), ErrorKind::kUsage},
      {"shape is not a list", tensor(f32, "4", "[0,4]", 4)},
      {"no size", tensor(f32, "[-1]", "[0,4]", 4)},
      {"no size", tensor(f32, "[1.0]", "[0,4]", 4)},
      {"no size", tensor(f32, "[9223372036854775808]", "[0,4]", 4)},
      {"do not hold", tensor(f32, "[9223372036854775807]", "[0,4]", 4)},
      {"do not hold", tensor(f32, "[4294967296,4294967296]", "[0,4]", 4)},
      {"do not hold", tensor(f32, "[4611686018427387904,4]", "[0,0]", 0)},  // 2^66: 0 if it wraps
      {"do not hold", tensor(f32, "[2]", "[0,4]", 4)},
      {"not a pair", tensor(f32, "[1]", "[0]", 4)},
      {"not a pair", tensor(f32, "[1]", "[0,4,8]", 4)},
      {"not a pair", tensor(f32, "[1]", "[-4,0]", 4)},
      {"not a pair", tensor(f32, "[1]", R"(["0","4"])", 4)},
      {"reach beyond", tensor(f32, "[1]", "[0,4]", 3)},
      {"reach beyond", tensor(f32, "[1]", "[4,0]", 4)},
      {"reach beyond", tensor(f32, "[1]", "[18446744073709551612,18446744073709551615]", 4)},
      {"belong to no tensor", tensor(f32, "[1]", "[0,4]", 5)},
      {"before it belong", tensor(f32, "[1]", "[1,5]", 5)},
      {"overlaps", file_with(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                             R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                             6)},
  };
  for (const Hostile& hostile : cases) {
    try {
      parse(hostile.file);
      ADD_FAILURE() << "accepted: " << hostile.what << " " << hostile.file.substr(0, 200);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(hostile.what)) << hostile.file.substr(0, 200);
      EXPECT_THAT(error.what(), HasSubstr("x.safetensors"));
      EXPECT_EQ(error.kind(), hostile.kind) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

TEST(Safetensors, ErrorsNameTensorAndOffset) {
  try {
    parse(tensor(R"("F32")", "[1]", "[1,5]", 5));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("tensor 't', offset 6"));
  }
}

TEST(Safetensors, WritesWhatItReads) {
  const std::string path = ::testing::TempDir() + format("tensors-{}.safetensors", ::getpid());
  const std::vector<TensorSpec> specs = {{"z \"quoted\"", DType::kF32, {2, 2}},
                                         {"empty", DType::kF32, {0, 3}},
                                         {"a", DType::kBF16, {3}},
                                         {"i", DType::kI64, {}}};
  {
    SafetensorsWriter writer(path, specs);
    const std::string data(16 + 6 + 8, 'x');
    writer.write(bytes_of(data.substr(0, 10)));
    writer.write(bytes_of(data.substr(10)));
    EXPECT_FALSE(std::filesystem::exists(path));
    writer.commit();
  }
  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata(), (TensorMetadata{{"format", "pt"}}));
  EXPECT_EQ(file.tensors().size(), specs.size());
  for (const TensorSpec& spec : specs) {
    const TensorEntry* found = file.find(spec.name);
    ASSERT_TRUE(found) << spec.name;
    EXPECT_EQ(found->spec.shape, spec.shape);
    EXPECT_EQ(found->spec.dtype, spec.dtype);
    EXPECT_EQ(file.data(*found).size(), spec.bytes());
  }
  EXPECT_EQ(file.find("z \"quoted\"")->begin % 8, 0u);
  EXPECT_EQ(file.find("none"), nullptr);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace switchyard
