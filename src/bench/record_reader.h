// What the kinds of records share: values of a JSON object with errors that name file and key, and
// notes on what differs between two.
#pragma once

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {

class RecordReader {
 public:
  /// `object` must outlive the reader.
  RecordReader(const nlohmann::json& object, std::string path)
      : object_(object), path_(std::move(path)) {}

  /// Throws a usage Error if there is no such key or its value has another type.
  template <class T>
  T get(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) {
      throw usage_error(format("no key \"{}\"", key), path_, "give what `bench --json` printed");
    }
    try {
      return found->get<T>();
    } catch (const nlohmann::json::exception&) {
      throw usage_error(format("\"{}\" has the wrong type", key), path_,
                        "give what `bench --json` printed");
    }
  }

 private:
  const nlohmann::json& object_;
  std::string path_;
};

/// A line for what makes two records no fair comparison; empty if `one` equals `other`.
inline std::string difference_note(const char* what, const std::string& one,
                                   const std::string& other) {
  return one == other ? "" : format("note: not the same {}: {} / {}\n", what, one, other);
}

}  // namespace switchyard
