#include "comm/mpi/mpi_communicator.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/format.h"
#include "comm/mpi/mpi_wait.h"
#include "comm/sums.h"

namespace switchyard {
namespace {

constexpr uint64_t kTagSets = 1000;    // collectives that may be under way at once
constexpr int64_t kSmallBytes = 2048;  // sums of so little go in one stage, each rank to each

/// Messages only read what they send; MPI's type for both is the same.
std::byte* bytes_of(const void* data) { return static_cast<std::byte*>(const_cast<void*>(data)); }

using Scratch = std::vector<std::byte>;
std::shared_ptr<Scratch> make_scratch(int64_t bytes) {
  return std::make_shared<Scratch>(static_cast<size_t>(bytes));
}

/// Where each rank's share of `count` elements begins; shares differ by a cache line at most.
std::vector<int64_t> share_begins(int64_t count, int ranks) {
  constexpr int64_t kUnit = 32;
  const int64_t units = (count + kUnit - 1) / kUnit;
  std::vector<int64_t> begins;
  for (int r = 0; r <= ranks; ++r) begins.push_back(std::min(units * r / ranks * kUnit, count));
  return begins;
}

}  // namespace

MpiCommunicator::MpiCommunicator(std::string name, MPI_Comm group, std::vector<int> members,
                                 int channel, const MpiShared& shared)
    : name_(std::move(name)),
      group_(group),
      members_(std::move(members)),
      channel_(channel),
      shared_(shared) {
  ::MPI_Comm_rank(group_, &rank_);
  ::MPI_Comm_set_errhandler(group_, MPI_ERRORS_RETURN);
}

MpiCommunicator::~MpiCommunicator() = default;  // groups live until MPI ends

Pending MpiCommunicator::start(const char* operation, std::vector<MpiStage> stages,
                               std::shared_ptr<void> keep, double wait_seconds) {
  ++started_;
  const uint64_t number = shared_.watch ? shared_.watch->enter(channel_) : started_;
  const int tag = static_cast<int>(started_ % kTagSets) * kMpiRounds;
  auto job = std::make_shared<MpiJob>(group_, tag, std::move(stages), std::move(keep));
  shared_.engine.submit(job);
  if (job->done()) return {};
  MpiOperation described{format("{} {} of the {} ranks", operation, number, name_), channel_,
                         number, members_, members_[static_cast<size_t>(rank_)]};
  MpiShared shared = shared_;
  if (wait_seconds > 0) shared.wait_seconds = wait_seconds;
  return Pending(std::make_shared<MpiPending>(std::move(job), std::move(described), shared));
}

Pending MpiCommunicator::start_all_reduce(void* data, int64_t count, ElementType type) {
  const int64_t width = element_size(type);
  std::byte* const own = bytes_of(data);
  if (count * width <= kSmallBytes) {
    auto received = make_scratch(count * width * size());
    MpiStage stage;
    std::vector<const std::byte*> parts;
    for (int r = 0; r < size(); ++r) {
      std::byte* const part = r == rank_ ? own : received->data() + r * count * width;
      parts.push_back(part);
      if (r == rank_) continue;
      stage.sends.push_back({r, own, count * width});
      stage.receives.push_back({r, part, count * width});
    }
    stage.then = [parts, own, count, type] { sum_parts(parts, own, count, type); };
    return start("all_reduce", {stage}, received);
  }
  // Each rank sums a share of all, then hands it on.
  const std::vector<int64_t> begins = share_begins(count, size());
  const auto at = [&](int r) { return own + begins[static_cast<size_t>(r)] * width; };
  const auto bytes = [&](int r) {
    return (begins[static_cast<size_t>(r) + 1] - begins[static_cast<size_t>(r)]) * width;
  };
  auto received = make_scratch(bytes(rank_) * (size() - 1));
  MpiStage collect, spread;
  spread.round = 1;
  std::vector<const std::byte*> parts;
  std::byte* free = received->data();
  for (int r = 0; r < size(); ++r) {
    parts.push_back(r == rank_ ? at(r) : free);
    if (r == rank_) continue;
    collect.sends.push_back({r, at(r), bytes(r)});
    collect.receives.push_back({r, free, bytes(rank_)});
    spread.sends.push_back({r, at(rank_), bytes(rank_)});
    spread.receives.push_back({r, at(r), bytes(r)});
    free += bytes(rank_);
  }
  collect.then = [parts, out = at(rank_), share = bytes(rank_) / width, type] {
    sum_parts(parts, out, share, type);
  };
  return start("all_reduce", {collect, spread}, received);
}

Pending MpiCommunicator::start_reduce_scatter(const void* in, void* out, int64_t count,
                                              ElementType type) {
  const int64_t bytes = count * element_size(type);
  auto received = make_scratch(bytes * size());
  MpiStage stage;
  std::vector<const std::byte*> parts;
  for (int r = 0; r < size(); ++r) {
    std::byte* const part = r == rank_ ? bytes_of(in) + r * bytes : received->data() + r * bytes;
    parts.push_back(part);
    if (r == rank_) continue;
    stage.sends.push_back({r, bytes_of(in) + r * bytes, bytes});
    stage.receives.push_back({r, part, bytes});
  }
  stage.then = [parts, to = bytes_of(out), count, type] { sum_parts(parts, to, count, type); };
  return start("reduce_scatter", {stage}, received);
}

Pending MpiCommunicator::start_all_gather(const void* in, void* out, int64_t count,
                                          ElementType type) {
  const int64_t bytes = count * element_size(type);
  MpiStage stage;
  for (int r = 0; r < size(); ++r) {
    if (r == rank_) continue;
    stage.sends.push_back({r, bytes_of(in), bytes});
    stage.receives.push_back({r, bytes_of(out) + r * bytes, bytes});
  }
  std::byte* const place = bytes_of(out) + rank_ * bytes;
  if (place != in && bytes > 0) std::memmove(place, in, static_cast<size_t>(bytes));
  return start("all_gather", {stage});
}

Pending MpiCommunicator::start_all_to_all(const void* in, std::span<const int64_t> send_counts,
                                          void* out, std::span<const int64_t> receive_counts,
                                          int64_t row_bytes) {
  MpiStage stage;
  std::byte* from = bytes_of(in);
  std::byte* to = bytes_of(out);
  for (int r = 0; r < size(); ++r) {
    const int64_t sent = send_counts[static_cast<size_t>(r)] * row_bytes;
    const int64_t received = receive_counts[static_cast<size_t>(r)] * row_bytes;
    if (r == rank_) {
      if (sent > 0) std::memcpy(to, from, static_cast<size_t>(sent));
    } else {
      stage.sends.push_back({r, from, sent});
      stage.receives.push_back({r, to, received});
    }
    from += sent;
    to += received;
  }
  return start("all_to_all", {stage});
}

Pending MpiCommunicator::start_broadcast(void* data, int64_t count, ElementType type, int root) {
  // A binomial tree around the root.
  const int64_t bytes = count * element_size(type);
  const int place = (rank_ - root + size()) % size();
  MpiStage from_parent, to_children;
  int reach = 1;  // the ranks below this one are those up to here away
  while (reach < size() && (place & reach) == 0) reach *= 2;
  if (place != 0) {
    from_parent.receives.push_back({(place - reach + root) % size(), bytes_of(data), bytes});
  }
  for (int step = reach / 2; step > 0; step /= 2) {
    if (place + step < size()) {
      to_children.sends.push_back({(place + step + root) % size(), bytes_of(data), bytes});
    }
  }
  return start("broadcast", {from_parent, to_children});
}

Pending MpiCommunicator::start_barrier(double wait_seconds) {
  // After round k a rank has heard, directly or not, of the 2^(k + 1) ranks before it.
  auto token = make_scratch(2);
  std::vector<MpiStage> rounds;
  for (int distance = 1; distance < size(); distance *= 2) {
    MpiStage round;
    round.round = static_cast<int>(rounds.size());
    round.sends.push_back({(rank_ + distance) % size(), token->data(), 1});
    round.receives.push_back({(rank_ - distance + size()) % size(), token->data() + 1, 1});
    rounds.push_back(std::move(round));
  }
  return start("barrier", std::move(rounds), token, wait_seconds);
}

}  // namespace switchyard
