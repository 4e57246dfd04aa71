#include "comm/single_rank.h"

#include <cstring>

namespace switchyard {
namespace {

void copy(const void* in, void* out, int64_t bytes) {
  if (bytes > 0 && in != out) std::memcpy(out, in, static_cast<size_t>(bytes));
}

}  // namespace

Pending SingleRank::start_all_reduce(void* /*data*/, int64_t /*count*/, ElementType /*type*/) {
  return {};
}

Pending SingleRank::start_reduce_scatter(const void* in, void* out, int64_t count,
                                         ElementType type) {
  copy(in, out, count * element_size(type));
  return {};
}

Pending SingleRank::start_all_gather(const void* in, void* out, int64_t count, ElementType type) {
  copy(in, out, count * element_size(type));
  return {};
}

Pending SingleRank::start_all_to_all(const void* in, std::span<const int64_t> send_counts,
                                     void* out, std::span<const int64_t> /*receive_counts*/,
                                     int64_t row_bytes) {
  copy(in, out, send_counts[0] * row_bytes);
  return {};
}

Pending SingleRank::start_broadcast(void* /*data*/, int64_t /*count*/, ElementType /*type*/,
                                    int /*root*/) {
  return {};
}

Pending SingleRank::start_barrier(double /*wait_seconds*/) { return {}; }

}  // namespace switchyard
