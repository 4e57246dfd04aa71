#include "data/input_files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kCompressed = {".gz", ".dz", ".zst"};
constexpr std::array<std::string_view, 2> kJson = {".jsonl", ".ndjson"};
constexpr std::array<std::string_view, 2> kText = {".txt", ".text"};

template <class List>
bool contains(const List& list, std::string_view extension) {
  return std::find(list.begin(), list.end(), extension) != list.end();
}

/// ".jsonl" of "a.jsonl.zst".
std::string format_extension(fs::path path) {
  if (contains(kCompressed, path.extension().string())) path.replace_extension();
  return path.extension().string();
}

InputFile make_file(const std::string& path, const std::string& format) {
  InputFile file;
  file.path = path;
  file.json = format == "jsonl" || (format == "auto" && contains(kJson, format_extension(path)));
  std::error_code code;
  const auto bytes = fs::file_size(path, code);
  file.bytes = code ? 0 : bytes;
  return file;
}

std::vector<InputFile> find_in_folder(const std::string& folder, const std::string& format) {
  std::vector<std::string> paths;
  size_t others = 0;
  std::error_code code;
  for (fs::recursive_directory_iterator at(folder, code), end; !code && at != end;
       at.increment(code)) {
    if (!at->is_regular_file(code)) continue;
    const std::string extension = format_extension(at->path());
    if (contains(kJson, extension) || contains(kText, extension)) {
      paths.push_back(at->path().string());
    } else {
      ++others;
    }
  }
  if (code) throw system_failure("cannot read the folder", folder, code.value());
  if (paths.empty()) {
    throw usage_error("no text in the folder", folder,
                      "it needs .txt or .jsonl files, plain or compressed as .gz or .zst");
  }
  if (others > 0) log_info("{}: {} files that are not .txt or .jsonl left out", folder, others);
  std::sort(paths.begin(), paths.end());
  std::vector<InputFile> files;
  for (const std::string& path : paths) files.push_back(make_file(path, format));
  return files;
}

}  // namespace

std::vector<InputFile> find_input_files(const std::vector<std::string>& inputs,
                                        const std::string& format) {
  std::vector<InputFile> files;
  for (const std::string& input : inputs) {
    std::error_code code;
    if (input == "-") {
      files.push_back({input, format == "jsonl", 0});
    } else if (fs::is_directory(input, code)) {
      const auto found = find_in_folder(input, format);
      files.insert(files.end(), found.begin(), found.end());
    } else if (!fs::exists(input, code)) {
      throw system_failure("cannot open", input, code ? code.value() : ENOENT);
    } else {
      files.push_back(make_file(input, format));
    }
  }
  return files;
}

}  // namespace switchyard
