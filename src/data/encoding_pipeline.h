// Reader thread -> worker threads that tokenize -> the caller's thread, in the order of reading.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/threads.h"
#include "data/document_parser.h"
#include "data/prepare.h"
#include "data/prepare_state.h"
#include "data/record_reader.h"
#include "text/tokenizer.h"

namespace switchyard {

struct EncodedDocument {
  size_t begin, end;  // in the batch's ids
  bool validation;
};

struct EncodedBatch {
  std::vector<int32_t> ids;
  std::vector<EncodedDocument> documents;
  ReadCounts counts;
  uint64_t without_tokens = 0;
  std::vector<std::string> notes;
  uint64_t consumed_bytes = 0;  // of the inputs, when the batch had been read
  std::string input_hash;       // of all batches up to this one
};

/// Its queues are bounded, so memory is too. All arguments must outlive it.
class EncodingPipeline {
 public:
  /// Leaves out the batches that `done` counts, after a look whether they are still what they were.
  /// `ended` is set when no more records are wanted: it must end the reader's waiting.
  EncodingPipeline(RecordReader& reader, const PrepareOptions& options, const Tokenizer& tokenizer,
                   const PrepareState& done, std::atomic<bool>& ended);
  ~EncodingPipeline();
  EncodingPipeline(const EncodingPipeline&) = delete;
  EncodingPipeline& operator=(const EncodingPipeline&) = delete;

  /// Nothing at the end. Rethrows what a thread threw, Error(kUsage) for inputs that have changed.
  std::optional<EncodedBatch> next();

 private:
  /// One batch on its way: the reader fills `records`, a worker sets `result`.
  struct Task {
    RecordBatch records;
    uint64_t consumed_bytes = 0;
    std::string input_hash;
    std::promise<EncodedBatch> result;
  };

  void read_all(RecordReader& reader);
  void work();
  EncodedBatch encode(const Task& task) const;

  const PrepareOptions& options_;
  uint64_t skip_;
  std::string skipped_hash_;
  std::atomic<bool>& ended_;
  const Tokenizer& tokenizer_;
  DocumentParser parser_;
  BoundedQueue<std::unique_ptr<Task>> waiting_;
  BoundedQueue<std::future<EncodedBatch>> ordered_;
  std::exception_ptr reader_error_;  // set before ordered_ is closed, read after
  std::vector<std::thread> threads_;
};

}  // namespace switchyard
