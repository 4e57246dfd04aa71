// Documents out of records: JSON, UTF-8 and emptiness are dealt with here, and counted.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "data/record_reader.h"

namespace switchyard {

/// What became of the records read. Sums over batches.
struct ReadCounts {
  uint64_t documents = 0;       // handed on
  uint64_t bytes = 0;           // of their text
  uint64_t empty = 0;           // left out: nothing but white space
  uint64_t malformed_json = 0;  // left out: the line is no JSON
  uint64_t missing_text = 0;    // left out: no such key, or its value is not a string
  uint64_t too_long_lines = 0;  // left out: JSON lines longer than 8 max_document_bytes
  uint64_t invalid_utf8_replaced = 0;
  uint64_t invalid_utf8_skipped = 0;  // left out
  uint64_t split_documents = 0;       // cuts made in documents above max_document_bytes

  void add(const ReadCounts& other);
  uint64_t left_out() const;
  nlohmann::ordered_json to_json() const;
  /// Throws nlohmann::json::exception where a count is missing.
  static ReadCounts from_json(const nlohmann::json& object);
  /// "3 empty, 1 malformed JSON", or "nothing".
  std::string left_out_text() const;
};

/// Thread-safe.
class DocumentParser {
 public:
  explicit DocumentParser(const ReadOptions& options) : options_(options) {}

  using Use = std::function<void(std::string_view text)>;
  /// Calls `use` with each document of the batch: sound UTF-8, not empty, trimmed, at most
  /// max_document_bytes. Adds to `counts`; appends "file:line: reason" for the first
  /// few records left out to `notes`.
  void parse(const RecordBatch& batch, const Use& use, ReadCounts& counts,
             std::vector<std::string>& notes) const;

  static constexpr size_t kMaxNotes = 5;

 private:
  ReadOptions options_;
};

}  // namespace switchyard
