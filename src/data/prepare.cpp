#include "data/prepare.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/threads.h"
#include "data/document_parser.h"
#include "data/output_folder.h"
#include "data/prepared_writer.h"
#include "text/tokenizer.h"

namespace switchyard {
namespace {

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
};

/// One batch on its way: the reader fills `records`, a worker sets `result`.
struct Task {
  RecordBatch records;
  uint64_t consumed_bytes = 0;
  std::promise<EncodedBatch> result;
};

/// Reader thread -> worker threads -> next() on the caller's thread, in the order of reading.
/// Both queues are bounded, so memory is too.
class Pipeline {
 public:
  /// `ended` is set when no more records are wanted: it must end the reader's waiting.
  Pipeline(RecordReader& reader, const PrepareOptions& options, const Tokenizer& tokenizer,
           std::atomic<bool>& ended)
      : options_(options),
        ended_(ended),
        tokenizer_(tokenizer),
        parser_(options.read),
        waiting_(static_cast<size_t>(options.threads)),
        ordered_(static_cast<size_t>(options.threads) * 2) {
    threads_.emplace_back([this, &reader] { read_all(reader); });
    for (int i = 0; i < options.threads; ++i) threads_.emplace_back([this] { work(); });
  }

  ~Pipeline() {
    ended_ = true;
    waiting_.close();
    ordered_.close();
    for (std::thread& thread : threads_) thread.join();
  }

  /// Nothing at the end. Rethrows what a thread threw.
  std::optional<EncodedBatch> next() {
    auto result = ordered_.pop();
    if (!result) {
      if (reader_error_) std::rethrow_exception(reader_error_);
      return std::nullopt;
    }
    return result->get();
  }

 private:
  void read_all(RecordReader& reader) {
    try {
      for (;;) {
        auto task = std::make_unique<Task>();
        if (!reader.next(task->records)) break;
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

  void work() {
    while (auto task = waiting_.pop()) {
      try {
        (*task)->result.set_value(encode(**task));
      } catch (...) {
        (*task)->result.set_exception(std::current_exception());
      }
    }
  }

  EncodedBatch encode(const Task& task) const {
    EncodedBatch batch;
    batch.consumed_bytes = task.consumed_bytes;
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

  const PrepareOptions& options_;
  std::atomic<bool>& ended_;
  const Tokenizer& tokenizer_;
  DocumentParser parser_;
  BoundedQueue<std::unique_ptr<Task>> waiting_;
  BoundedQueue<std::future<EncodedBatch>> ordered_;
  std::exception_ptr reader_error_;  // set before ordered_ is closed, read after
  std::vector<std::thread> threads_;
};

/// One of the two folders of an output.
class SplitWriter {
 public:
  SplitWriter(const std::string& folder, const Tokenizer& tokenizer, uint64_t shard_tokens)
      : folder_(make_folder(folder)),
        tokenizer_(tokenizer),
        writer_(folder_, tokenizer.vocab_size(), shard_tokens) {}

  PreparedWriter& writer() { return writer_; }

  Manifest finish(const std::string& name, const PrepareOptions& options, const ReadCounts& read) {
    write_file(folder_ + "/" + Manifest::kTokenizerName, tokenizer_.model_bytes());
    Manifest manifest;
    manifest.split = name;
    manifest.validation_share = options.validation_share;
    manifest.split_seed = options.split_seed;
    manifest.tokenizer_hash = tokenizer_.hash();
    manifest.sources = options.read.inputs;
    manifest.read = read;
    manifest = writer_.finish(std::move(manifest));
    sync_directory(folder_);
    return manifest;
  }

 private:
  static const std::string& make_folder(const std::string& folder) {
    make_directories(folder);
    return folder;
  }

  std::string folder_;
  const Tokenizer& tokenizer_;
  PreparedWriter writer_;
};

void log_notes(const std::vector<std::string>& notes, size_t& logged) {
  for (const std::string& note : notes) {
    if (logged >= DocumentParser::kMaxNotes) return;
    log_warning("{}{}", note,
                ++logged == DocumentParser::kMaxNotes ? " (more are only counted)" : "");
  }
}

/// Everything below `folder`, which exists and is empty.
PrepareSummary write_splits(const PrepareOptions& options, const Tokenizer& tokenizer,
                            RecordReader& reader, std::atomic<bool>& ended,
                            const std::string& folder,
                            const std::function<void(const PrepareProgress&)>& progress) {
  SplitWriter train(folder + "/train", tokenizer, options.shard_tokens);
  std::optional<SplitWriter> validation;
  if (options.validation_share > 0) {
    validation.emplace(folder + "/validation", tokenizer, options.shard_tokens);
  }
  const uint64_t total_bytes = reader.total_bytes();
  PrepareSummary summary;
  uint64_t tokens = 0;
  size_t logged = 0;
  {
    Pipeline pipeline(reader, options, tokenizer, ended);
    while (const auto batch = pipeline.next()) {
      if (options.read.stop && options.read.stop())
        throw runtime_failure("interrupted", options.output);
      const std::span<const int32_t> ids = batch->ids;
      for (const EncodedDocument& document : batch->documents) {
        PreparedWriter& writer = document.validation ? validation->writer() : train.writer();
        writer.add_document(ids.subspan(document.begin, document.end - document.begin));
      }
      tokens += ids.size();
      summary.read.add(batch->counts);
      summary.without_tokens += batch->without_tokens;
      log_notes(batch->notes, logged);
      if (progress) {
        progress({batch->consumed_bytes, total_bytes, summary.read.documents, tokens});
      }
    }
  }
  if (tokens == 0) {
    throw usage_error("no text in the input", options.read.inputs.front(),
                      "left out: " + summary.read.left_out_text());
  }
  summary.train = train.finish("train", options, summary.read);
  if (validation) summary.validation = validation->finish("validation", options, summary.read);
  return summary;
}

}  // namespace

bool is_validation(std::string_view text, double validation_share, uint64_t seed) {
  return static_cast<double>(hash64(text, seed)) < validation_share * 0x1p64;
}

nlohmann::ordered_json PrepareSummary::to_json() const {
  const auto split = [](const Manifest& manifest) -> nlohmann::ordered_json {
    return {{"documents", manifest.documents},
            {"tokens", manifest.tokens},
            {"shards", manifest.shards.size()}};
  };
  nlohmann::ordered_json object = {{"train", split(train)}};
  if (validation) object["validation"] = split(*validation);
  object["vocab_size"] = train.vocab_size;
  object["tokenizer_hash"] = train.tokenizer_hash;
  object["read"] = read.to_json();
  object["without_tokens"] = without_tokens;
  object["seconds"] = seconds;
  return object;
}

PrepareSummary prepare(const PrepareOptions& options,
                       const std::function<void(const PrepareProgress&)>& progress) {
  const auto start = std::chrono::steady_clock::now();
  const Tokenizer tokenizer(options.tokenizer);
  std::atomic<bool> ended = false;
  ReadOptions read = options.read;
  read.stop = [&] { return ended || (options.read.stop && options.read.stop()); };
  RecordReader reader(read);
  OutputFolder output(options.output, options.overwrite);
  PrepareSummary summary;
  try {
    summary = write_splits(options, tokenizer, reader, ended, output.temporary(), progress);
  } catch (const Error& error) {
    // The temporary folder is gone when the user reads this: name the place asked for.
    std::string where = error.where_part();
    if (where.starts_with(output.temporary())) {
      where.replace(0, output.temporary().size(), options.output);
    }
    throw Error(error.kind(), error.what_part(), where, error.hint_part());
  }
  output.commit();
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

}  // namespace switchyard
