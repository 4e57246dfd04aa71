#include "infer/engine/expert_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/error.h"
#include "base/format.h"
#include "base/progress.h"

namespace switchyard {
namespace {

// Linux maps what lies around a page that is read, within blocks of this size.
constexpr uintptr_t kBlock = 1 << 16;

uintptr_t page_bytes() {
  static const auto bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

uintptr_t round_down(uintptr_t value, uintptr_t multiple) { return value / multiple * multiple; }
uintptr_t round_up(uintptr_t value, uintptr_t multiple) {
  return round_down(value + multiple - 1, multiple);
}

struct Range {
  uintptr_t begin, end;
};

/// The pages that hold a matrix, made larger to whole blocks of `block` bytes within the file.
Range pages_of(const Matrix& matrix, uintptr_t block) {
  const auto data = reinterpret_cast<uintptr_t>(matrix.data);
  const auto file = reinterpret_cast<uintptr_t>(matrix.mapping.data());
  const uintptr_t file_end = round_up(file + matrix.mapping.size(), page_bytes());
  return {std::max(file, round_down(data, block)),
          std::min(file_end, round_up(data + matrix.bytes, block))};
}

std::vector<const Matrix*> matrices_of(const FeedForwardWeights& expert) {
  std::vector<const Matrix*> matrices;
  if (expert.wi) matrices.push_back(&expert.wi);
  if (expert.linear) matrices.push_back(&expert.linear);
  for (const Matrix& last : expert.last) matrices.push_back(&last);
  return matrices;
}

int64_t resident_bytes(const FeedForwardWeights& expert) {
  uintptr_t bytes = 0;
  for (const Matrix* matrix : matrices_of(expert)) {
    const Range pages = pages_of(*matrix, page_bytes());
    bytes += pages.end - pages.begin;
  }
  return static_cast<int64_t>(bytes);
}

/// Neighbours that share a block are read again from the file when they are used.
void give_up(const FeedForwardWeights& expert) {
  for (const Matrix* matrix : matrices_of(expert)) {
    const Range pages = pages_of(*matrix, kBlock);
    if (::madvise(reinterpret_cast<void*>(pages.begin), pages.end - pages.begin, MADV_DONTNEED)) {
      throw system_failure("cannot give up the memory of an expert", "--expert-memory", errno);
    }
  }
}

/// A hint; what does not come early comes when it is read.
void read_ahead(const FeedForwardWeights& expert) {
  for (const Matrix* matrix : matrices_of(expert)) {
    const Range pages = pages_of(*matrix, page_bytes());
    ::madvise(reinterpret_cast<void*>(pages.begin), pages.end - pages.begin, MADV_WILLNEED);
  }
}

void check_layer(const RoutedWeights& layer, int64_t bound) {
  for (const FeedForwardWeights& expert : layer.experts) {
    for (const Matrix* matrix : matrices_of(expert)) {
      if (!matrix->mapping.empty()) continue;
      throw usage_error(
          "experts' weights are converted when they are loaded, so that no bound on their memory "
          "can be kept",
          "--expert-memory", "choose the --precision of the files, or quantize the model");
    }
    if (resident_bytes(expert) <= bound) continue;
    throw usage_error(
        format("an expert has {}", format_bytes(static_cast<double>(resident_bytes(expert)))),
        format("--expert-memory {}", format_bytes(static_cast<double>(bound))),
        "give room for one expert or more");
  }
}

}  // namespace

ExpertMemory::ExpertMemory(const InferenceWeights& weights, int64_t bound) {
  use_.bound = bound;
  for (const StackWeights* stack : {&weights.encoder, &weights.decoder}) {
    for (const BlockWeights& block : stack->blocks) {
      if (block.attention_experts) check_layer(*block.attention_experts, bound);
      if (block.routed) check_layer(*block.routed, bound);
    }
  }
}

/// Gives up experts that this call does not use, longest unused first.
bool ExpertMemory::make_room(int64_t bytes) {
  while (use_.resident_bytes + bytes > use_.bound) {
    if (resident_.empty() || resident_.back().call == call_) return false;
    const Expert last = resident_.back();
    give_up(*last.weights);
    use_.resident_bytes -= last.bytes;
    ++use_.evictions;
    places_.erase(last.weights);
    resident_.pop_back();
  }
  return true;
}

size_t ExpertMemory::admit(const RoutedWeights& layer, std::span<const int64_t> experts) {
  ++call_;
  size_t admitted = 0;
  for (const int64_t e : experts) {
    const FeedForwardWeights* expert = &layer.experts[static_cast<size_t>(e)];
    const auto found = places_.find(expert);
    if (found != places_.end()) {
      found->second->call = call_;
      resident_.splice(resident_.begin(), resident_, found->second);
    } else {
      const int64_t bytes = resident_bytes(*expert);
      if (!make_room(bytes)) break;
      read_ahead(*expert);
      resident_.push_front({expert, bytes, call_});
      places_[expert] = resident_.begin();
      use_.resident_bytes += bytes;
      use_.largest = std::max(use_.largest, use_.resident_bytes);
      ++use_.loads;
    }
    ++admitted;
  }
  return admitted;
}

}  // namespace switchyard
