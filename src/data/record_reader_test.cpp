#include "data/record_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/threads.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::put_file;
using Records = std::vector<std::pair<std::string, uint64_t>>;  // text, line

class RecordReaderTest : public ::testing::Test {
 protected:
  Records read(const std::string& name, const std::string& bytes) {
    put_file(folder_ / name, bytes);
    options_.inputs = {folder_ / name};
    return read();
  }
  Records read() {
    RecordReader reader(options_);
    RecordBatch batch;
    Records records;
    too_long_lines_ = split_documents_ = 0;
    while (reader.next(batch)) {
      too_long_lines_ += batch.too_long_lines;
      split_documents_ += batch.split_documents;
      for (const auto& record : batch.records) {
        records.emplace_back(batch.text(record), record.line);
      }
    }
    EXPECT_EQ(reader.consumed_bytes(), reader.total_bytes());
    return records;
  }

  testing::TemporaryFolder folder_;
  ReadOptions options_;
  uint64_t too_long_lines_ = 0, split_documents_ = 0;
};

TEST_F(RecordReaderTest, Paragraphs) {
  EXPECT_EQ(read("a.txt", "\n\none\ntwo\n\n\n  \nthree\n"),
            (Records{{"one\ntwo\n", 3}, {"  ", 7}, {"three\n", 8}}));
  EXPECT_EQ(read("a.txt", "one\n\ntwo"), (Records{{"one\n", 1}, {"two\n", 3}}))
      << "no final newline";
}

TEST_F(RecordReaderTest, LinesAndFiles) {
  options_.documents = "line";
  EXPECT_EQ(read("a.txt", "one\n\ntwo"), (Records{{"one", 1}, {"two", 3}}));
  options_.documents = "file";
  EXPECT_EQ(read("a.txt", "one\n\ntwo\n"), (Records{{"one\n\ntwo\n\n", 1}}));
}

TEST_F(RecordReaderTest, CarriageReturnsAndByteOrderMark) {
  EXPECT_EQ(read("a.txt", "\uFEFFone\r\ntwo\r\n\r\nthree\r\n"),
            (Records{{"one\ntwo\n", 1}, {"three\n", 4}}));
  EXPECT_EQ(read("a.jsonl", "\uFEFF{\"a\": 1}\r\n{}\r\n"), (Records{{"{\"a\": 1}", 1}, {"{}", 2}}));
  EXPECT_EQ(read("a.jsonl.gz", testing::gzip("\uFEFF{}\n")), (Records{{"{}", 1}}));
}

TEST_F(RecordReaderTest, NothingInIt) {
  for (const char* name : {"a.txt", "a.jsonl"}) {
    EXPECT_THAT(read(name, ""), IsEmpty());
    EXPECT_THAT(read(name, "\n\n\r\n\n"), IsEmpty());
    EXPECT_THAT(read(name, "\uFEFF"), IsEmpty());
  }
}

TEST_F(RecordReaderTest, NulBytesAreBytes) {
  const std::string line("a\0b", 3);
  options_.documents = "line";
  EXPECT_EQ(read("a.txt", line + "\n" + line), (Records{{line, 1}, {line, 2}}));
}

TEST_F(RecordReaderTest, OtherEncodingsAreRefused) {
  std::string wide;
  for (const char letter : std::string("some text, forty bytes of it in UTF-16..")) {
    wide += letter;
    wide += '\0';
  }
  for (const std::string& bytes : {wide, "\xFF\xFE" + wide.substr(0, 4), std::string(5000, '\0')}) {
    EXPECT_THAT(error_of([&] { read("a.txt", bytes); }).what(),
                HasSubstr("UTF-16 or no text at all; " + folder_ / "a.txt"));
  }
}

TEST_F(RecordReaderTest, JsonLinesKeepTheirNumbers) {
  EXPECT_EQ(read("a.jsonl", "{}\n\n[1]\nbad\n"), (Records{{"{}", 1}, {"[1]", 3}, {"bad", 4}}));
  options_.format = "jsonl";
  EXPECT_EQ(read("a.txt", "{}\n{}"), (Records{{"{}", 1}, {"{}", 2}}));
  options_.format = "text";
  EXPECT_EQ(read("a.jsonl", "{}\n{}"), (Records{{"{}\n{}\n", 1}}));
}

TEST_F(RecordReaderTest, ManyRecordsAcrossBuffers) {
  std::string bytes;
  Records expected;
  for (uint64_t i = 0; i < 60000; ++i) {
    const std::string line = "{\"text\": \"" + std::string(i % 37, 'x') + std::to_string(i) + "\"}";
    bytes += line + "\n";
    expected.emplace_back(line, i + 1);
  }
  EXPECT_TRUE(read("a.jsonl", bytes) == expected);
  EXPECT_TRUE(read("a.jsonl.zst", testing::zstd(bytes)) == expected);
  EXPECT_TRUE(read("a.jsonl.gz", testing::gzip(bytes.substr(0, 12345)) +
                                     testing::gzip(bytes.substr(12345))) == expected);
}

TEST_F(RecordReaderTest, LongDocumentsAreCutAtWhiteSpace) {
  options_.max_document_bytes = 1024;
  std::string text;
  while (text.size() < 10000) text += "word\u00e9 ";
  std::string joined;
  for (const auto& [part, line] : read("a.txt", text + "\n\nnext")) {
    EXPECT_LE(part.size(), 1024u);
    joined += part;
  }
  EXPECT_EQ(joined, text + "\nnext\n");
  EXPECT_GT(split_documents_, 8u);
}

TEST_F(RecordReaderTest, LongJsonLinesAreLeftOut) {
  options_.max_document_bytes = 1024;
  const std::string long_line = "{\"text\": \"" + std::string(9000, 'x') + "\"}";
  EXPECT_EQ(read("a.jsonl", "{}\n" + long_line + "\n[]\n" + long_line),
            (Records{{"{}", 1}, {"[]", 3}}));
  EXPECT_EQ(too_long_lines_, 2u);
}

// 100 MB compressed to 100 kB: what is held is bounded by max_document_bytes.
TEST_F(RecordReaderTest, ALineOf100Megabytes) {
  options_.max_document_bytes = 1 << 20;
  const std::string line(100000000, 'x');
  put_file(folder_ / "a.jsonl", testing::gzip(line));
  put_file(folder_ / "b.txt", testing::zstd(line));
  const auto before = peak_memory();
  for (const char* name : {"a.jsonl", "b.txt"}) {
    options_.inputs = {folder_ / name};
    RecordReader reader(options_);
    RecordBatch batch;
    uint64_t bytes = 0, too_long = 0;
    while (reader.next(batch)) {
      bytes += batch.bytes.size();
      too_long += batch.too_long_lines;
    }
    const bool json = name[0] == 'a';
    EXPECT_EQ(too_long, json ? 1u : 0u);
    EXPECT_EQ(bytes, json ? 0u : line.size() + 1);
  }
#ifndef __SANITIZE_ADDRESS__  // it keeps freed memory back
  EXPECT_LT(peak_memory() - before, 50u << 20);
#endif
}

TEST_F(RecordReaderTest, FoldersInOrder) {
  make_directories(folder_ / "in/b");
  put_file(folder_ / "in/b/1.txt", "b1");
  put_file(folder_ / "in/c.jsonl.gz", testing::gzip("{}"));
  put_file(folder_ / "in/a.text.zst", testing::zstd("a"));
  put_file(folder_ / "in/image.png", "not read");
  put_file(folder_ / "in/archive.gz", "not read");
  std::filesystem::create_symlink("nowhere", folder_ / "in/broken.txt");
  options_.inputs = {folder_ / "in"};
  EXPECT_EQ(read(), (Records{{"a\n", 1}, {"b1\n", 1}, {"{}", 1}}));
  put_file(folder_ / "x", "x");
  options_.inputs = {folder_ / "x", folder_ / "in/b"};
  EXPECT_EQ(read(), (Records{{"x\n", 1}, {"b1\n", 1}}));
}

TEST_F(RecordReaderTest, InputsThatAreNotThere) {
  make_directories(folder_ / "empty");
  put_file(folder_ / "file", "");
  for (const std::string& path : {folder_ / "none", folder_ / "empty", folder_ / "file/below"}) {
    options_.inputs = {path};
    const Error error = error_of([&] { RecordReader reader(options_); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
    EXPECT_EQ(error.where_part(), path);
  }
}

}  // namespace
}  // namespace switchyard
