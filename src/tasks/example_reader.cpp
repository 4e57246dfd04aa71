#include "tasks/example_reader.h"

#include <optional>
#include <vector>

#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "data/byte_source.h"
#include "data/record_reader.h"
#include "text/utf8.h"

namespace switchyard {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxLineBytes = uint64_t{1} << 30;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end = text.find(separator); end != text.npos; end = text.find(separator, begin)) {
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  parts.emplace_back(text.substr(begin));
  return parts;
}

/// Lines of columns as objects. GLUE's files have no quoting: a quote is a character.
class Columns {
 public:
  explicit Columns(const std::string& names) {
    if (!names.empty()) names_ = split(names, ',');
    for (std::string& name : names_) name = std::string(trim(name));
  }

  /// Nothing for the line with the names.
  std::optional<json> record(std::string_view line, const std::string& where) {
    const std::vector<std::string> cells = split(line, '\t');
    if (names_.empty()) {
      names_ = cells;
      return std::nullopt;
    }
    if (cells.size() != names_.size()) {
      throw usage_error(format("{} columns instead of {}", cells.size(), names_.size()), where,
                        format("the columns are {}", fmt::join(names_, ", ")));
    }
    json record = json::object();
    for (size_t i = 0; i < cells.size(); ++i) record[names_[i]] = cells[i];
    return record;
  }

 private:
  std::vector<std::string> names_;
};

/// Counts, and decides what a damaged example means.
class Taker {
 public:
  Taker(const Task& task, ExampleUse use, const std::function<bool(const Example&)>& hand_on)
      : task_(task), use_(use), hand_on_(hand_on) {}

  /// `make_record` may say that there is none. False: enough.
  template <class MakeRecord>
  bool take(MakeRecord make_record, const std::string& where) {
    std::vector<Example> examples;
    try {
      const std::optional<json> record = make_record();
      if (record) examples = task_.examples(*record, use_, where);
    } catch (const Error& error) {
      if (task_.config().source.on_damage != "skip") throw;
      if (counts_.damaged++ == 0) counts_.first_damage = error.what();
      return true;
    }
    for (const Example& example : examples) {
      ++counts_.examples;
      if (!hand_on_(example)) return false;
    }
    return true;
  }
  const ExampleCounts& counts() const { return counts_; }

 private:
  const Task& task_;
  ExampleUse use_;
  const std::function<bool(const Example&)>& hand_on_;
  ExampleCounts counts_;
};

void read_lines(const Task& task, const std::string& path, Taker& taker) {
  const bool tsv = task.config().source.format == "tsv";
  ReadOptions options;
  options.inputs = {path};
  options.format = "text";
  options.documents = "line";
  options.max_document_bytes = kMaxLineBytes;
  RecordReader reader(options);
  Columns columns(task.config().source.columns);
  RecordBatch batch;
  while (reader.next(batch)) {
    for (const RecordBatch::Record& record : batch.records) {
      const std::string_view line = batch.text(record);
      const std::string where = format("{}:{}", batch.source, record.line);
      if (trim(line).empty()) continue;
      const auto make_record = [&]() -> std::optional<json> {
        if (find_invalid_utf8(line) != line.npos) throw usage_error("no valid UTF-8", where);
        if (tsv) return columns.record(line, where);
        return parse_json(line, where, ErrorKind::kUsage);
      };
      if (!taker.take(make_record, where)) return;
    }
  }
}

void read_whole(const std::string& path, Taker& taker) {
  const auto source = open_byte_source(path);
  std::string text;
  std::vector<char> buffer(1 << 20);
  while (const size_t got = source->read(buffer.data(), buffer.size())) {
    text.append(buffer.data(), got);
  }
  const json value = parse_json(text, path, ErrorKind::kUsage);
  text.clear();
  if (!value.is_array()) {
    taker.take([&] { return std::optional(value); }, path);
    return;
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const auto make_record = [&] { return std::optional(value[i]); };
    if (!taker.take(make_record, format("{}, record {}", path, i + 1))) return;
  }
}

}  // namespace

ExampleCounts read_examples(const Task& task, const std::string& path, ExampleUse use,
                            const std::function<bool(const Example&)>& hand_on) {
  Taker taker(task, use, hand_on);
  if (task.config().source.format == "json") {
    read_whole(path, taker);
  } else {
    read_lines(task, path, taker);
  }
  if (taker.counts().damaged > 0) {
    log_warning("{} damaged examples left out; the first: {}", taker.counts().damaged,
                taker.counts().first_damage);
  }
  return taker.counts();
}

}  // namespace switchyard
