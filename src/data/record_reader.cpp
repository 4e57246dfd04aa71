#include "data/record_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

constexpr size_t kBufferBytes = 256 << 10;
constexpr size_t kBatchBytes = 1 << 20;
constexpr size_t kBatchRecords = 4096;
constexpr uint64_t kJsonOverhead = 8;  // a JSON line may be this much longer than its text
constexpr size_t kFirstBytes = 64, kLookedAtBytes = 8 << 10;

/// Other encodings than UTF-8 would become noise without a word.
void check_is_text(std::string_view begin, const std::string& path) {
  begin = begin.substr(0, kLookedAtBytes);
  const auto zeros = static_cast<size_t>(std::count(begin.begin(), begin.end(), '\0'));
  if (begin.starts_with("\xFF\xFE") || begin.starts_with("\xFE\xFF") ||
      zeros > std::max<size_t>(16, begin.size() / 4)) {
    throw usage_error("UTF-16 or no text at all", path,
                      "give UTF-8; `iconv -f UTF-16 -t UTF-8` makes it");
  }
}

}  // namespace

RecordReader::RecordReader(const ReadOptions& options)
    : options_(options),
      files_(find_input_files(options.inputs, options.format)),
      buffer_(kBufferBytes) {}

uint64_t RecordReader::consumed_bytes() const {
  return finished_bytes_ + (source_ ? source_->consumed() : 0);
}

uint64_t RecordReader::total_bytes() const {
  uint64_t total = 0;
  for (const InputFile& file : files_) {
    if (file.bytes == 0 && file.path == "-") return 0;
    total += file.bytes;
  }
  return total;
}

bool RecordReader::open_next_file() {
  if (next_file_ >= files_.size()) return false;
  source_ = open_byte_source(files_[next_file_++].path, options_.stop);
  pending_.clear();
  line_begin_ = 0;
  line_ = record_line_ = 1;
  skipping_line_ = false;
  if (!fill_buffer()) log_warning("{}: empty file", files_[next_file_ - 1].path);
  // The first bytes come alone where they were looked at to tell compressed files.
  for (size_t got = filled_; got > 0 && filled_ < kFirstBytes; filled_ += got) {
    got = source_->read(buffer_.data() + filled_, buffer_.size() - filled_);
  }
  check_is_text({buffer_.data(), filled_}, files_[next_file_ - 1].path);
  constexpr std::string_view kByteOrderMark = "\uFEFF";
  if (std::string_view(buffer_.data(), filled_).starts_with(kByteOrderMark)) {
    used_ = kByteOrderMark.size();
  }
  return true;
}

bool RecordReader::fill_buffer() {
  used_ = 0;
  filled_ = source_->read(buffer_.data(), buffer_.size());
  return filled_ > 0;
}

bool RecordReader::next(RecordBatch& batch) {
  batch = {};
  while (batch.records.empty() && batch.too_long_lines == 0) {
    if (!source_ && !open_next_file()) return false;
    const InputFile& file = files_[next_file_ - 1];
    batch.source = file.path == "-" ? "standard input" : file.path;
    batch.json = file.json;
    while (batch.bytes.size() < kBatchBytes && batch.records.size() < kBatchRecords) {
      if (used_ == filled_ && !fill_buffer()) {
        take_line_part({}, true, batch);
        if (!file.json) emit(batch, std::exchange(pending_, {}));
        finished_bytes_ += source_->consumed();
        source_.reset();
        break;
      }
      const char* begin = buffer_.data() + used_;
      const auto* newline = static_cast<const char*>(std::memchr(begin, '\n', filled_ - used_));
      const size_t size = newline ? static_cast<size_t>(newline - begin) : filled_ - used_;
      take_line_part({begin, size}, newline != nullptr, batch);
      used_ += size + (newline ? 1 : 0);
    }
  }
  return true;
}

void RecordReader::take_line_part(std::string_view part, bool ends_line, RecordBatch& batch) {
  const uint64_t max_line = options_.max_document_bytes * kJsonOverhead;
  if (!skipping_line_) pending_ += part;
  if (batch.json && pending_.size() > max_line) {
    skipping_line_ = true;
    pending_.clear();
    ++batch.too_long_lines;
  }
  if (!batch.json && pending_.size() > options_.max_document_bytes) cut_long_document(batch);
  if (!ends_line) return;

  ++line_;
  skipping_line_ = false;
  if (pending_.ends_with('\r')) pending_.pop_back();
  const bool blank = trim(std::string_view(pending_).substr(line_begin_)).empty();
  const bool whole_line = batch.json || options_.documents == "line";
  if (whole_line || (blank && options_.documents == "paragraph")) {
    emit(batch, pending_);
    pending_.clear();
  } else {
    pending_ += '\n';
  }
  line_begin_ = pending_.size();
  if (pending_.empty()) record_line_ = line_;
}

void RecordReader::cut_long_document(RecordBatch& batch) {
  while (pending_.size() > options_.max_document_bytes) {
    const size_t cut = part_border(pending_, options_.max_document_bytes);
    emit(batch, std::string_view(pending_).substr(0, cut));
    pending_.erase(0, cut);
    line_begin_ = line_begin_ > cut ? line_begin_ - cut : 0;
    record_line_ = line_;
    ++batch.split_documents;
  }
}

void RecordReader::emit(RecordBatch& batch, std::string_view record) {
  if (record.empty()) return;
  batch.records.push_back({batch.bytes.size(), record.size(), record_line_});
  batch.bytes += record;
}

}  // namespace switchyard
