#include "comm/world.h"

#include <cstdlib>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "comm/mpi/mpi_api.h"
#include "comm/mpi/mpi_communicator.h"
#include "comm/single_rank.h"

namespace switchyard {
namespace {

constexpr const char* kWorldName = "world";

std::vector<int> all_ranks(int size) {
  std::vector<int> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

/// MPI from its beginning to its end; one per process.
class MpiLife {
 public:
  MpiLife() {
    int provided = 0;
    check_mpi(::MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided),
              "MPI_Init_thread");
    if (provided < MPI_THREAD_SERIALIZED) {
      throw runtime_failure("this MPI does not serve several threads", "MPI_Init_thread",
                            "use one with MPI_THREAD_SERIALIZED, as Open MPI is");
    }
  }
  ~MpiLife() {
    if (in_order_) ::MPI_Finalize();  // it waits for the others, who else may be gone
  }
  MpiLife(const MpiLife&) = delete;
  MpiLife& operator=(const MpiLife&) = delete;

  void end_in_order() { in_order_ = true; }

 private:
  bool in_order_ = false;
};

}  // namespace

// Without a launcher only `single` is there.
struct World::Implementation {
  explicit Implementation(const WorldOptions& options);
  ~Implementation();
  void leave();

  SingleRank single{kWorldName};
  std::unique_ptr<MpiLife> mpi;
  std::unique_ptr<MpiEngine> engine;
  std::unique_ptr<PeerWatch> watch;
  std::unique_ptr<MpiCommunicator> ranks;
  double wait_seconds;
  int channels = 1;  // groups so far
  bool failed = false;
};

World::Implementation::Implementation(const WorldOptions& options)
    : wait_seconds(options.wait_seconds) {
  if (!is_launched()) return;
  mpi = std::make_unique<MpiLife>();
  engine = std::make_unique<MpiEngine>(options.background);
  int size = 1;
  ::MPI_Comm_size(MPI_COMM_WORLD, &size);
  const std::vector<int> members = all_ranks(size);
  MpiCommunicator first(kWorldName, MPI_COMM_WORLD, members, 0,
                        {*engine, nullptr, options.wait_seconds});
  std::string endpoint;
  if (first.rank() == 0) watch = lead_watch(size, options.watch, endpoint);
  endpoint = first.broadcast_text(endpoint, 0);
  if (first.rank() != 0) watch = follow_watch(first.rank(), endpoint, options.watch);
  MPI_Comm own = MPI_COMM_NULL;
  check_mpi(::MPI_Comm_dup(MPI_COMM_WORLD, &own), "MPI_Comm_dup");
  ranks = std::make_unique<MpiCommunicator>(kWorldName, own, members, 0,
                                            MpiShared{*engine, watch.get(), options.wait_seconds});
}

World::Implementation::~Implementation() {
  if (!ranks) return;
  try {
    if (!failed) leave();
  } catch (const Error& error) {
    log_warning("{}", error.what());
  }
}

void World::Implementation::leave() {
  ranks->barrier();
  watch->leave();
  engine.reset();
  mpi->end_in_order();
}

bool World::is_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"}) {
    if (std::getenv(name)) return true;
  }
  return false;
}

int World::ranks_on_host() {
  if (!is_launched()) return 1;
  for (const char* name :
       {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS_PER_NODE"}) {
    const char* value = std::getenv(name);
    if (value && std::atoi(value) > 0) return std::atoi(value);
  }
  return 1;
}

World::World(const WorldOptions& options)
    : implementation_(std::make_unique<Implementation>(options)) {}

World::~World() = default;

Communicator& World::all() {
  if (implementation_->ranks) return *implementation_->ranks;
  return implementation_->single;
}

std::unique_ptr<Communicator> World::split(const std::string& name, int color) {
  if (!implementation_->ranks) return std::make_unique<SingleRank>(name);
  MpiCommunicator& world = *implementation_->ranks;
  std::vector<int64_t> colors(static_cast<size_t>(world.size()));
  const int64_t own = color;
  world.all_gather(&own, colors.data(), 1, ElementType::kInt64);
  std::vector<int> members;
  for (int r = 0; r < world.size(); ++r) {
    if (colors[static_cast<size_t>(r)] == own) members.push_back(r);
  }
  MPI_Comm group = MPI_COMM_NULL;
  const int channel = implementation_->channels++;
  check_mpi(::MPI_Comm_split(world.group(), color, world.rank(), &group), "MPI_Comm_split");
  if (members.size() == 1) return std::make_unique<SingleRank>(name);
  return std::make_unique<MpiCommunicator>(
      name, group, std::move(members), channel,
      MpiShared{*implementation_->engine, implementation_->watch.get(),
                implementation_->wait_seconds});
}

void World::report_failure(const std::string& what) {
  implementation_->failed = true;
  if (implementation_->engine) implementation_->engine->halt();
  if (implementation_->watch) implementation_->watch->report_failure(what);
}

}  // namespace switchyard
