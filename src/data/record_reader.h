// Cuts inputs into records (a paragraph, a line, a file) without looking into them, so that one
// thread can feed many: what is inside is the business of DocumentParser.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_source.h"
#include "data/input_files.h"

namespace switchyard {

struct ReadOptions {
  std::vector<std::string> inputs;       // files, folders, "-"
  std::string format = "auto";           // "text", "jsonl", "auto": by the file's name
  std::string documents = "paragraph";   // text only: "line", "paragraph" (blank line) or "file"
  std::string text_key = "text";         // jsonl only: the key that holds the text
  std::string invalid_utf8 = "replace";  // bytes become U+FFFD, or "skip": the document is left out
  uint64_t max_document_bytes = 16 << 20;  // longer documents are cut at white space
  std::function<bool()> stop;              // true: waiting for input ends with an Error
};

/// Some records of one file. A JSON record is a line, a text record a document or part of one.
struct RecordBatch {
  struct Record {
    size_t begin, size;  // in bytes
    uint64_t line;       // of its start, from 1
  };
  std::string source;
  bool json = false;
  std::string bytes;
  std::vector<Record> records;
  uint64_t too_long_lines = 0;   // JSON lines left out, longer than 8 max_document_bytes
  uint64_t split_documents = 0;  // cuts made in long text documents

  std::string_view text(const Record& record) const {
    return std::string_view(bytes).substr(record.begin, record.size);
  }
};

/// Reads with bounded memory: a batch holds about 1 MiB, or one record. Not thread-safe.
class RecordReader {
 public:
  explicit RecordReader(const ReadOptions& options);

  /// The next records; false at the end of all inputs. Throws Error(kUsage) for a file that is
  /// UTF-16 or no text by its first 8 KiB.
  bool next(RecordBatch& batch);

  const std::vector<InputFile>& files() const { return files_; }
  /// Compressed bytes read so far, of total_bytes() (0 if unknown).
  uint64_t consumed_bytes() const;
  uint64_t total_bytes() const;

 private:
  bool open_next_file();
  bool fill_buffer();
  void take_line_part(std::string_view part, bool ends_line, RecordBatch& batch);
  void cut_long_document(RecordBatch& batch);
  void emit(RecordBatch& batch, std::string_view record);

  ReadOptions options_;
  std::vector<InputFile> files_;
  size_t next_file_ = 0;
  std::unique_ptr<ByteSource> source_;
  uint64_t finished_bytes_ = 0;

  std::vector<char> buffer_;
  size_t used_ = 0, filled_ = 0;  // of the buffer
  std::string pending_;           // the record being put together
  uint64_t line_ = 1, record_line_ = 1;
  size_t line_begin_ = 0;       // of the current line in pending_
  bool skipping_line_ = false;  // the rest of a JSON line that is too long
};

}  // namespace switchyard
