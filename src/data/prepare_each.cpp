#include "data/prepare_each.h"

#include <filesystem>
#include <optional>
#include <system_error>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/hash.h"
#include "data/input_groups.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

std::optional<Manifest> read_split(const std::string& output, const std::string& split) {
  const std::string path = output + "/" + split + "/" + Manifest::kFileName;
  std::error_code code;
  if (!fs::exists(path, code)) return std::nullopt;
  return Manifest::from_json(read_file(path), path);
}

bool newer_input(const PrepareOptions& options) {
  const auto made = fs::last_write_time(options.output + "/train/" + Manifest::kFileName);
  for (const InputFile& file : find_input_files(options.read.inputs, options.read.format)) {
    if (fs::last_write_time(file.path) > made) return true;
  }
  return false;
}

/// What an earlier call made of the same inputs with the same options.
std::optional<PrepareSummary> find_ready(const PrepareOptions& options) {
  const std::optional<Manifest> train = read_split(options.output, "train");
  if (!train || train->sources != options.read.inputs ||
      train->validation_share != options.validation_share ||
      train->split_seed != options.split_seed ||
      train->tokenizer_hash != to_hex(hash64(read_file(options.tokenizer))) ||
      newer_input(options)) {
    return std::nullopt;
  }
  PrepareSummary summary;
  summary.train = *train;
  summary.validation = read_split(options.output, "validation");
  summary.read = train->read;
  return summary;
}

}  // namespace

std::vector<PreparedLanguage> prepare_each(
    const PrepareOptions& options,
    const std::function<void(const std::string&, const PrepareProgress&)>& progress) {
  std::vector<PreparedLanguage> languages;
  make_directories(options.output);
  for (const InputGroup& group : group_inputs(options.read.inputs)) {
    PrepareOptions own = options;
    own.read.inputs = group.inputs;
    own.output = options.output + "/" + group.name;
    PreparedLanguage language{group.name, false, {}};
    if (auto ready = find_ready(own)) {
      language.was_ready = true;
      language.summary = std::move(*ready);
    } else {
      language.summary = prepare(own, [&](const PrepareProgress& at) {
        if (progress) progress(group.name, at);
      });
    }
    languages.push_back(std::move(language));
  }
  return languages;
}

nlohmann::ordered_json languages_json(const std::vector<PreparedLanguage>& languages) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const PreparedLanguage& language : languages) {
    object[language.name] = language.summary.to_json();
  }
  return object;
}

}  // namespace switchyard
