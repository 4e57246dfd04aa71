#include "data/document_parser.h"

#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

using nlohmann::json;

/// Takes one string out of the outermost object and passes over all else without storing it.
class TextFinder : public nlohmann::json_sax<json> {
 public:
  explicit TextFinder(const std::string& key) : key_(key) {}

  std::optional<std::string> text;

  bool key(string_t& name) override {
    wanted_ = depth_ == 1 && in_object_ && name == key_;
    return true;
  }
  bool string(string_t& value) override {
    if (wanted_) text = std::move(value);
    return value_done();
  }
  bool start_object(size_t) override {
    if (depth_ == 0) in_object_ = true;
    return descend();
  }
  bool start_array(size_t) override { return descend(); }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool null() override { return value_done(); }
  bool boolean(bool) override { return value_done(); }
  bool number_integer(number_integer_t) override { return value_done(); }
  bool number_unsigned(number_unsigned_t) override { return value_done(); }
  bool number_float(number_float_t, const string_t&) override { return value_done(); }
  bool binary(binary_t&) override { return value_done(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool value_done() {
    wanted_ = false;
    return true;
  }
  bool descend() {
    ++depth_;
    return value_done();
  }

  const std::string& key_;
  int64_t depth_ = 0;
  bool in_object_ = false, wanted_ = false;
};

}  // namespace

void ReadCounts::add(const ReadCounts& other) {
  documents += other.documents;
  bytes += other.bytes;
  empty += other.empty;
  malformed_json += other.malformed_json;
  missing_text += other.missing_text;
  too_long_lines += other.too_long_lines;
  invalid_utf8_replaced += other.invalid_utf8_replaced;
  invalid_utf8_skipped += other.invalid_utf8_skipped;
  split_documents += other.split_documents;
}

uint64_t ReadCounts::left_out() const {
  return empty + malformed_json + missing_text + too_long_lines + invalid_utf8_skipped;
}

nlohmann::ordered_json ReadCounts::to_json() const {
  return {{"documents", documents},
          {"bytes", bytes},
          {"empty", empty},
          {"malformed_json", malformed_json},
          {"missing_text", missing_text},
          {"too_long_lines", too_long_lines},
          {"invalid_utf8_replaced", invalid_utf8_replaced},
          {"invalid_utf8_skipped", invalid_utf8_skipped},
          {"split_documents", split_documents}};
}

ReadCounts ReadCounts::from_json(const nlohmann::json& object) {
  ReadCounts counts;
  object.at("documents").get_to(counts.documents);
  object.at("bytes").get_to(counts.bytes);
  object.at("empty").get_to(counts.empty);
  object.at("malformed_json").get_to(counts.malformed_json);
  object.at("missing_text").get_to(counts.missing_text);
  object.at("too_long_lines").get_to(counts.too_long_lines);
  object.at("invalid_utf8_replaced").get_to(counts.invalid_utf8_replaced);
  object.at("invalid_utf8_skipped").get_to(counts.invalid_utf8_skipped);
  object.at("split_documents").get_to(counts.split_documents);
  return counts;
}

std::string ReadCounts::left_out_text() const {
  std::string text;
  const auto add_reason = [&](uint64_t count, const char* reason) {
    if (count > 0) text += format("{}{} {}", text.empty() ? "" : ", ", count, reason);
  };
  add_reason(empty, "empty");
  add_reason(malformed_json, "malformed JSON");
  add_reason(missing_text, "without text");
  add_reason(too_long_lines, "lines too long");
  add_reason(invalid_utf8_skipped, "invalid UTF-8");
  return text.empty() ? "nothing" : text;
}

void DocumentParser::parse(const RecordBatch& batch, const Use& use, ReadCounts& counts,
                           std::vector<std::string>& notes) const {
  counts.too_long_lines += batch.too_long_lines;
  counts.split_documents += batch.split_documents;
  const auto note = [&](uint64_t line, const std::string& reason) {
    if (notes.size() < kMaxNotes) notes.push_back(format("{}:{}: {}", batch.source, line, reason));
  };
  for (const RecordBatch::Record& record : batch.records) {
    std::string_view text = batch.text(record);
    std::string mended;
    if (find_invalid_utf8(text) != std::string_view::npos) {
      if (options_.invalid_utf8 == "skip") {
        ++counts.invalid_utf8_skipped;
        note(record.line, "invalid UTF-8, left out");
        continue;
      }
      ++counts.invalid_utf8_replaced;
      note(record.line, "invalid UTF-8, replaced");
      mended = replace_invalid_utf8(text);
      text = mended;
    }
    std::string found;
    if (batch.json && !trim(text).empty()) {
      TextFinder finder(options_.text_key);
      if (!json::sax_parse(text, &finder)) {
        ++counts.malformed_json;
        note(record.line, "malformed JSON, left out");
        continue;
      }
      if (!finder.text) {
        ++counts.missing_text;
        note(record.line, format("no text under the key \"{}\", left out", options_.text_key));
        continue;
      }
      found = std::move(*finder.text);
      text = found;
    }
    text = trim(text);
    if (text.empty()) ++counts.empty;
    while (!text.empty()) {
      size_t size = text.size();
      if (size > options_.max_document_bytes) {
        size = part_border(text, options_.max_document_bytes);
        ++counts.split_documents;
      }
      const std::string_view document = trim(text.substr(0, size));
      text = trim(text.substr(size));
      ++counts.documents;
      counts.bytes += document.size();
      use(document);
    }
  }
}

}  // namespace switchyard
