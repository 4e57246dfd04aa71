// How far prepare() has come, kept in its temporary folder, so that a run that was cut off can be
// taken up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "data/document_parser.h"

namespace switchyard {

struct PrepareState {
  static constexpr const char* kFileName = "prepare.json";

  /// What a split's writer had added.
  struct Split {
    uint64_t documents = 0;
    std::string hash;  // PreparedWriter::hash()
  };

  std::string job;         // hash of all that decides the bytes written; "": cannot be taken up
  uint64_t batches = 0;    // of the RecordReader, all written
  std::string input_hash;  // of the bytes of these batches
  uint64_t notes = 0;      // warnings about single records that were logged
  uint64_t tokens = 0;     // of all splits
  uint64_t without_tokens = 0;
  ReadCounts read;
  Split train, validation;

  void write(const std::string& folder) const;
  /// Nothing if the folder has no sound one.
  static std::optional<PrepareState> read_from(const std::string& folder);
};

}  // namespace switchyard
