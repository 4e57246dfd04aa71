#include "data/encoding_pipeline.h"

#include <span>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/hash.h"

namespace switchyard {

EncodingPipeline::EncodingPipeline(RecordReader& reader, const PrepareOptions& options,
                                   const Tokenizer& tokenizer, const PrepareState& done,
                                   std::atomic<bool>& ended)
    : options_(options),
      skip_(done.batches),
      skipped_hash_(done.input_hash),
      ended_(ended),
      tokenizer_(tokenizer),
      parser_(options.read),
      waiting_(static_cast<size_t>(options.threads)),
      ordered_(static_cast<size_t>(options.threads) * 2) {
  threads_.emplace_back([this, &reader] { read_all(reader); });
  for (int i = 0; i < options.threads; ++i) threads_.emplace_back([this] { work(); });
}

EncodingPipeline::~EncodingPipeline() {
  ended_ = true;
  waiting_.close();
  ordered_.close();
  for (std::thread& thread : threads_) thread.join();
}

std::optional<EncodedBatch> EncodingPipeline::next() {
  auto result = ordered_.pop();
  if (!result) {
    if (reader_error_) std::rethrow_exception(reader_error_);
    return std::nullopt;
  }
  return result->get();
}

void EncodingPipeline::read_all(RecordReader& reader) {
  try {
    StreamingHash hash;
    for (uint64_t number = 1;; ++number) {
      if (ended_) return;
      // Batches that are skipped go by without a result that somebody could look up from.
      if (options_.read.stop && options_.read.stop()) {
        throw runtime_failure("interrupted", options_.output);
      }
      auto task = std::make_unique<Task>();
      const bool more = reader.next(task->records);
      hash.add(std::as_bytes(std::span(task->records.bytes)));
      task->input_hash = to_hex(hash.value());
      const bool all_skipped = number == skip_ || (number < skip_ && !more);
      if (all_skipped && task->input_hash != skipped_hash_) {
        throw usage_error("the input is not what it was when the run to go on with began",
                          options_.output, "give the same command again to start anew");
      }
      if (!more) break;
      if (number <= skip_) continue;
      task->consumed_bytes = reader.consumed_bytes();
      // In this order a result that is waited for always has its task queued next.
      if (!ordered_.push(task->result.get_future())) return;
      if (!waiting_.push(std::move(task))) return;
    }
  } catch (...) {
    reader_error_ = std::current_exception();
  }
  waiting_.close();
  ordered_.close();
}

void EncodingPipeline::work() {
  while (auto task = waiting_.pop()) {
    try {
      (*task)->result.set_value(encode(**task));
    } catch (...) {
      (*task)->result.set_exception(std::current_exception());
    }
  }
}

EncodedBatch EncodingPipeline::encode(const Task& task) const {
  EncodedBatch batch;
  batch.consumed_bytes = task.consumed_bytes;
  batch.input_hash = task.input_hash;
  const auto encode_document = [&](std::string_view text) {
    const size_t begin = batch.ids.size();
    tokenizer_.encode_document(text, batch.ids);
    if (batch.ids.size() == begin) {
      ++batch.without_tokens;
      return;
    }
    const bool validation = is_validation(text, options_.validation_share, options_.split_seed);
    batch.documents.push_back({begin, batch.ids.size(), validation});
  };
  parser_.parse(task.records, encode_document, batch.counts, batch.notes);
  return batch;
}

}  // namespace switchyard
