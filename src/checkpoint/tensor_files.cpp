#include "checkpoint/tensor_files.h"

#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/format.h"
#include "base/json.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".safetensors";
constexpr std::string_view kIndexEnding = ".index.json";

/// Nothing but a weight file of the directory itself: no path, no other file.
bool is_shard_name(const std::string& name) {
  return name.size() > kSuffix.size() && name.size() <= 255 && name.ends_with(kSuffix) &&
         name.front() != '.' && name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

/// A link that leads nowhere or in a circle is not there.
bool is_there(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

struct Shard {
  size_t first, end;  // tensors
  uint64_t bytes;
};

std::vector<Shard> plan_shards(const std::vector<TensorSpec>& tensors, uint64_t shard_bytes) {
  std::vector<Shard> shards = {{0, 0, 0}};
  for (const TensorSpec& tensor : tensors) {
    if (shards.back().bytes > 0 && shards.back().bytes + tensor.bytes() > shard_bytes) {
      shards.push_back({shards.back().end, shards.back().end, 0});
    }
    ++shards.back().end;
    shards.back().bytes += tensor.bytes();
  }
  return shards;
}

}  // namespace

TensorFiles::TensorFiles(const std::string& directory, const std::string& stem)
    : directory_(directory) {
  const std::string single = stem + std::string(kSuffix);
  const std::string index = format("{}/{}{}", directory, single, kIndexEnding);
  if (is_there(directory + "/" + single)) {
    add(single);
  } else if (is_there(index)) {
    read_index(index);
  } else if (is_there(directory + "/pytorch_model.bin")) {
    throw usage_error("the weights are in pickle format", directory + "/pytorch_model.bin",
                      "save them with safe_serialization=True, the default of transformers");
  } else {
    throw usage_error(format("no {} in the directory", single), directory,
                      "name a model directory");
  }
}

void TensorFiles::add(const std::string& file_name) {
  files_.push_back(std::make_unique<SafetensorsFile>(directory_ + "/" + file_name));
  const SafetensorsFile& file = *files_.back();
  for (const TensorEntry& tensor : file.tensors()) {
    if (!tensors_.emplace(tensor.spec.name, StoredTensor{&file, &tensor}).second) {
      throw damaged_error("two shards hold the same tensor",
                          format("{}, tensor '{:.120}'", file.path(), tensor.spec.name),
                          "copy the model again");
    }
  }
}

void TensorFiles::read_index(const std::string& path) {
  const auto fail = [&](const std::string& what, const std::string& hint) {
    return damaged_error(what, path, hint);
  };
  const nlohmann::json index = parse_json(read_file(path), path);
  const nlohmann::json map =
      index.is_object() ? index.value("weight_map", nlohmann::json()) : nlohmann::json();
  if (!map.is_object()) throw fail("no weight_map in the index", "copy the model again");
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map.items()) {
    if (!shard.is_string() || !is_shard_name(shard.get<std::string>())) {
      throw fail(format("tensor '{:.120}' is said to be in {:.120}", tensor,
                        shard.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)),
                 "a shard must be a .safetensors file of the same directory");
    }
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) {
    if (!is_there(directory_ + "/" + shard)) {
      throw fail(format("the shard {} is missing", shard), "copy the model again");
    }
    add(shard);
  }
  for (const auto& [tensor, shard] : map.items()) {
    const StoredTensor* found = find(tensor);
    if (!found || found->file->path() != directory_ + "/" + shard.get<std::string>()) {
      throw fail(
          format("tensor '{:.120}' is not in the shard {}", tensor, shard.get<std::string>()),
          "copy the model again");
    }
  }
}

const StoredTensor* TensorFiles::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

uint64_t TensorFiles::numel() const {
  uint64_t total = 0;  // cannot overflow: all of them lie in mapped files
  for (const auto& [name, tensor] : tensors_) {
    total += tensor.data().size() / dtype_bytes(tensor.spec().dtype);
  }
  return total;
}

size_t num_tensor_files(const std::vector<TensorSpec>& tensors, uint64_t shard_bytes) {
  return plan_shards(tensors, shard_bytes).size();
}

void write_tensor_index(const std::string& directory, const std::string& stem,
                        const std::vector<ManifestEntry>& entries, uint64_t bytes) {
  nlohmann::json weight_map = nlohmann::json::object();
  for (const ManifestEntry& entry : entries) {
    for (const auto& [name, hash] : entry.tensors) weight_map[name] = entry.path;
  }
  const nlohmann::json index = {{"metadata", {{"total_size", bytes}}}, {"weight_map", weight_map}};
  write_file(format("{}/{}{}{}", directory, stem, kSuffix, kIndexEnding), index.dump(2) + "\n");
}

std::vector<ManifestEntry> write_tensor_files(
    const std::string& directory, const std::vector<TensorSpec>& tensors,
    const TensorFileOptions& options,
    const std::function<void(size_t, SafetensorsWriter&)>& write) {
  const std::vector<Shard> shards = plan_shards(tensors, options.shard_bytes);
  const size_t files = options.all_files > 0 ? options.all_files : shards.size();
  uint64_t total = 0;
  std::vector<ManifestEntry> entries;
  for (size_t s = 0; s < shards.size(); ++s) {
    const Shard& shard = shards[s];
    ManifestEntry entry;
    entry.path = files == 1 ? options.stem + std::string(kSuffix)
                            : format("{}-{:05}-of-{:05}{}", options.stem,
                                     options.files_before + s + 1, files, kSuffix);
    const std::vector<TensorSpec> own(tensors.begin() + static_cast<std::ptrdiff_t>(shard.first),
                                      tensors.begin() + static_cast<std::ptrdiff_t>(shard.end));
    SafetensorsWriter file(directory + "/" + entry.path, own);
    for (size_t i = shard.first; i < shard.end; ++i) write(i, file);
    entry.bytes = file.size();
    const SafetensorsHashes hashes = file.commit();
    entry.hash = hashes.file;
    for (size_t i = 0; i < own.size(); ++i) {
      entry.tensors[own[i].name] = hashes.tensors[i];
    }
    entries.push_back(std::move(entry));
    total += shard.bytes;
  }
  if (shards.size() > 1 && options.all_files == 0) {
    write_tensor_index(directory, options.stem, entries, total);
  }
  return entries;
}

}  // namespace switchyard
