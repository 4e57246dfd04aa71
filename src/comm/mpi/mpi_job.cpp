#include "comm/mpi/mpi_job.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"

namespace switchyard {
namespace {

constexpr int64_t kLongestMessage = int64_t{1} << 30;  // MPI counts in int

template <class Call>
void in_pieces(const MpiMessage& message, Call call) {
  for (int64_t begin = 0; begin < message.bytes; begin += kLongestMessage) {
    call(message.data + begin, static_cast<int>(std::min(kLongestMessage, message.bytes - begin)));
  }
}

}  // namespace

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  ::MPI_Error_string(code, text.data(), &length);
  throw runtime_failure(std::string(call) + " failed: " + text.data(), "MPI",
                        "see the messages of mpirun and of the other ranks");
}

MpiJob::MpiJob(MPI_Comm group, int tag, std::vector<MpiStage> stages, std::shared_ptr<void> keep)
    : group_(group), tag_(tag), stages_(std::move(stages)), keep_(std::move(keep)) {}

MpiJob::~MpiJob() = default;

void MpiJob::post(const MpiStage& stage) {
  const int tag = tag_ + stage.round;
  for (const MpiMessage& message : stage.receives) {
    in_pieces(message, [&](std::byte* data, int bytes) {
      requests_.emplace_back();
      check_mpi(::MPI_Irecv(data, bytes, MPI_BYTE, message.peer, tag, group_, &requests_.back()),
                "MPI_Irecv");
    });
  }
  for (const MpiMessage& message : stage.sends) {
    in_pieces(message, [&](std::byte* data, int bytes) {
      requests_.emplace_back();
      check_mpi(::MPI_Isend(data, bytes, MPI_BYTE, message.peer, tag, group_, &requests_.back()),
                "MPI_Isend");
    });
  }
}

bool MpiJob::advance() {
  while (stage_ < stages_.size()) {
    const MpiStage& stage = stages_[stage_];
    if (!posted_) post(stage);
    posted_ = true;
    int ready = 1;
    check_mpi(::MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &ready,
                            MPI_STATUSES_IGNORE),
              "MPI_Testall");
    if (ready == 0) return false;
    requests_.clear();
    posted_ = false;
    if (stage.then) stage.then();
    ++stage_;
  }
  done_ = true;
  return true;
}

}  // namespace switchyard
