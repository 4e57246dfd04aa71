#include "data/split_writers.h"

#include <span>
#include <utility>

#include "base/files.h"

namespace switchyard {
namespace {

const std::string& make_folder(const std::string& folder) {
  make_directories(folder);
  return folder;
}

}  // namespace

SplitWriters::Split::Split(const std::string& folder, const Tokenizer& tokenizer,
                           uint64_t shard_tokens)
    : folder_(make_folder(folder)), writer_(folder_, tokenizer.vocab_size(), shard_tokens) {}

Manifest SplitWriters::Split::finish(const std::string& name, const Tokenizer& tokenizer,
                                     const PrepareOptions& options, const ReadCounts& read) {
  write_file(folder_ + "/" + Manifest::kTokenizerName, tokenizer.model_bytes());
  Manifest manifest;
  manifest.split = name;
  manifest.validation_share = options.validation_share;
  manifest.split_seed = options.split_seed;
  manifest.tokenizer_hash = tokenizer.hash();
  manifest.sources = options.read.inputs;
  manifest.read = read;
  manifest = writer_.finish(std::move(manifest));
  sync_directory(folder_);
  return manifest;
}

SplitWriters::SplitWriters(std::string folder, const Tokenizer& tokenizer,
                           const PrepareOptions& options)
    : folder_(std::move(folder)),
      tokenizer_(tokenizer),
      train_(folder_ + "/train", tokenizer, options.shard_tokens) {
  if (options.validation_share > 0) {
    validation_.emplace(folder_ + "/validation", tokenizer, options.shard_tokens);
  }
}

void SplitWriters::take_up(const PrepareState& state) {
  train_.writer().take_up(state.train.documents, state.train.hash);
  if (!validation_) return;
  validation_->writer().take_up(state.validation.documents, state.validation.hash);
}

void SplitWriters::add(const EncodedBatch& batch) {
  const std::span<const int32_t> ids = batch.ids;
  for (const EncodedDocument& document : batch.documents) {
    PreparedWriter& writer = document.validation ? validation_->writer() : train_.writer();
    writer.add_document(ids.subspan(document.begin, document.end - document.begin));
  }
}

void SplitWriters::save(PrepareState& state) {
  const auto sync = [](PreparedWriter& writer) {
    writer.sync();
    return PrepareState::Split{writer.documents(), writer.hash()};
  };
  state.train = sync(train_.writer());
  if (validation_) state.validation = sync(validation_->writer());
  state.write(folder_);
}

void SplitWriters::finish(const PrepareOptions& options, PrepareSummary& summary) {
  summary.train = train_.finish("train", tokenizer_, options, summary.read);
  if (validation_) {
    summary.validation = validation_->finish("validation", tokenizer_, options, summary.read);
  }
  remove_tree(folder_ + "/" + PrepareState::kFileName);
}

}  // namespace switchyard
