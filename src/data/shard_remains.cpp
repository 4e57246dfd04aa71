#include "data/shard_remains.h"

#include <unistd.h>

#include <filesystem>
#include <utility>
#include <vector>

namespace switchyard {
namespace {

namespace fs = std::filesystem;

// Behind the final name of a file that is not closed: a writer's mark and process, or ours.
constexpr const char* kWritersMark = ".tmp-";
constexpr const char* kLeft = ".left";

std::string own_mark() { return kWritersMark + std::to_string(::getpid()); }

/// What stands behind the final name of each file of tokens there is.
std::vector<std::string> endings_of(const std::string& folder, const std::string& final_name) {
  std::vector<std::string> endings;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(final_name)) endings.push_back(name.substr(final_name.size()));
  }
  return endings;
}

/// Gives a file that is not closed a name that no writer uses.
void set_aside(const std::string& path, const std::string& ending) {
  if (!ending.empty() && ending != kLeft) rename_synced(path + ending, path + kLeft);
}

/// The offsets that rise and lie within the tokens.
std::span<const uint64_t> sound_offsets(const MappedFile& index, uint64_t tokens) {
  const auto* offsets = reinterpret_cast<const uint64_t*>(index.bytes().data());
  const size_t count = index.bytes().size() / sizeof(uint64_t);
  size_t sound = 0;
  while (sound < count && offsets[sound] <= tokens &&
         offsets[sound] >= (sound > 0 ? offsets[sound - 1] : 0)) {
    ++sound;
  }
  return {offsets, sound};
}

}  // namespace

std::optional<ShardRemains> ShardRemains::find(const std::string& folder, const std::string& name,
                                               int32_t token_bytes) {
  const std::string tokens = folder + "/" + name + ".tokens";
  const std::string index = folder + "/" + name + ".index";
  std::optional<ShardRemains> best;
  std::string tokens_end, index_end;
  // Whatever their names, they begin alike: any of one kind goes with any of the other.
  for (const std::string& of_tokens : endings_of(folder, name + ".tokens")) {
    for (const std::string& of_index : endings_of(folder, name + ".index")) {
      ShardRemains remains;
      remains.tokens_ = MappedFile(tokens + of_tokens);
      remains.index_ = MappedFile(index + of_index);
      remains.width_ = token_bytes;
      remains.closed_ = of_tokens.empty() && of_index.empty();
      const auto width = static_cast<uint64_t>(token_bytes);
      remains.offsets_ = sound_offsets(remains.index_, remains.tokens_.bytes().size() / width);
      if (remains.offsets_.empty()) continue;
      if (best && best->documents() >= remains.documents()) continue;
      best = std::move(remains);
      tokens_end = of_tokens;
      index_end = of_index;
    }
  }
  if (best) {
    set_aside(tokens, tokens_end);
    set_aside(index, index_end);
  }
  return best;
}

std::span<const std::byte> ShardRemains::token_bytes() const {
  return tokens_.bytes().first(offsets_.back() * static_cast<uint64_t>(width_));
}

std::span<const std::byte> ShardRemains::document(uint64_t number) const {
  const auto width = static_cast<uint64_t>(width_);
  return tokens_.bytes().subspan(offsets_[number] * width,
                                 (offsets_[number + 1] - offsets_[number]) * width);
}

void remove_unfinished_shards(const std::string& folder) {
  std::vector<std::string> unfinished;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    const bool marked = name.find(kWritersMark) != std::string::npos || name.ends_with(kLeft);
    if (marked && !name.ends_with(own_mark())) unfinished.push_back(entry.path());
  }
  for (const std::string& path : unfinished) remove_tree(path);
}

}  // namespace switchyard
