// World: all processes of a run, as `mpirun` or `srun` started them.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/watch/peer_watch.h"

namespace switchyard {

struct WorldOptions {
  double wait_seconds = 300;  // for the other ranks, at each collective
  // A thread moves collectives on while the program computes. It takes the lock that waits need: to
  // be had only where much is left to hide and cores are free (bench/comm_bench.cpp).
  bool background = false;
  WatchOptions watch;
};

/// One per process. Used from the thread that made it.
class World {
 public:
  /// Whether this process is one of several of a launcher; otherwise making a World costs nothing.
  static bool is_launched();
  /// Processes of the launcher on this host, as it says; 1 without one.
  static int ranks_on_host();

  /// Meets the other processes. Throws Error(kRuntime) if that fails.
  explicit World(const WorldOptions& options);
  /// Waits for the others and leaves, unless a failure was reported; then the process must end.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Communicator& all();
  int rank() { return all().rank(); }
  int size() { return all().size(); }
  /// The ranks that name the same `color`, in the order of their ranks here; all ranks of the world
  /// call it, with the same `name`, while no collective is under way. Must not outlive the world.
  std::unique_ptr<Communicator> split(const std::string& name, int color);

  /// Tells all others that this process ends because of `what`; they end too.
  void report_failure(const std::string& what);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace switchyard
