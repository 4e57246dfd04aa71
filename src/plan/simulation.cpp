#include "plan/simulation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"
#include "plan/transfers.h"

namespace switchyard {
namespace {

// Purposes of random numbers are those of a run; a simulation has a seed of its own and is none.
constexpr uint32_t kStraggling = 1001, kSlowRanks = 1002, kLoads = 1003;

/// Loads of the ranks along `expert` in one routed layer, relative to an even share.
struct Loads {
  std::vector<double> of_rank;
  double largest = 1;
  double dropped = 0;  // share of tokens
};

Loads draw_loads(const SimulationOptions& options, int64_t ranks, int64_t layer, int64_t step) {
  Loads loads;
  loads.of_rank.assign(static_cast<size_t>(ranks), 1.0);
  if (options.skew <= 0) return loads;
  const RandomStream draws(options.seed, kLoads, static_cast<uint64_t>(step),
                           static_cast<uint64_t>(layer));
  double sum = 0;
  for (size_t r = 0; r < loads.of_rank.size(); ++r) {
    sum += loads.of_rank[r] = std::exp(options.skew * draws.normal(r));
  }
  double kept = 0;
  for (double& load : loads.of_rank) {
    load *= static_cast<double>(ranks) / sum;
    if (options.capacity > 0) load = std::min(load, options.capacity);
    kept += load;
  }
  loads.largest = *std::max_element(loads.of_rank.begin(), loads.of_rank.end());
  if (options.capacity > 0) loads.dropped = 1 - kept / static_cast<double>(ranks);
  return loads;
}

/// Who takes part in a collective with rank r: group number `of(r)` of `count`.
struct Groups {
  const MeshConfig& mesh;
  RankGroup kind;
  int64_t count() const {
    const int64_t all = mesh.data * mesh.expert * mesh.model;
    switch (kind) {
      case RankGroup::kModel:
        return all / mesh.model;
      case RankGroup::kExpert:
        return all / mesh.expert;
      case RankGroup::kData:
        return all / mesh.data;
      case RankGroup::kReplicas:
        return mesh.model;
    }
    return 1;
  }
  int64_t of(int64_t rank) const {
    const int64_t m = rank % mesh.model, e = rank / mesh.model % mesh.expert;
    const int64_t d = rank / (mesh.model * mesh.expert);
    switch (kind) {
      case RankGroup::kModel:
        return d * mesh.expert + e;
      case RankGroup::kExpert:
        return d * mesh.model + m;
      case RankGroup::kData:
        return e * mesh.model + m;
      case RankGroup::kReplicas:
        return m;
    }
    return 0;
  }
};

bool is_experts(const Op& op) {
  return op.kind >= OpKind::kExpertsForward && op.kind <= OpKind::kGatedExpertsBackward;
}

class Simulation {
 public:
  Simulation(const StepProgram& program, const MeshConfig& mesh, const Machine& machine, bool wide,
             const SimulationOptions& options, int64_t ranks)
      : program_(program),
        mesh_(mesh),
        machine_(machine),
        wide_(wide),
        options_(options),
        ranks_(static_cast<size_t>(ranks)),
        one_(ranks == 1) {
    waited_for_.assign(program.ops.size(), -1);
    int64_t kept = 0;
    for (const Op& op : program.ops) {
      for (const size_t index : op.after) {
        if (waited_for_[index] < 0) waited_for_[index] = kept++;
      }
    }
    done_.assign(static_cast<size_t>(kept), std::vector<double>(ranks_, 0.0));
    slow_.assign(ranks_, 1.0);
    const RandomStream draws(options.seed, kSlowRanks);
    for (size_t r = 0; r < ranks_; ++r) {
      if (draws.uniform(r) < options.slow_share) slow_[r] = options.slow_factor;
    }
  }

  SimulatedStep step(int64_t number) {
    computing_free_.assign(ranks_, 0.0);
    transfers_free_.assign(ranks_, 0.0);
    computing_.assign(ranks_, 0.0);
    transfers_ = 0;
    dropped_ = routed_ = 0;
    slowness_ = slow_;
    const RandomStream draws(options_.seed, kStraggling, static_cast<uint64_t>(number));
    for (size_t r = 0; r < ranks_ && options_.straggling > 0; ++r) {
      slowness_[r] *= std::exp(options_.straggling * draws.normal(r));
    }
    int64_t layer = 0;
    for (size_t i = 0; i < program_.ops.size(); ++i) {
      const Op& op = program_.ops[i];
      // The exchange of counts opens a routed layer; forward and backward may differ, as in a run
      // whose micro-batches differ.
      if (op.detail == "counts of tokens") loads_ = draw(++layer, number);
      op.is_transfer() ? transfer(i, op) : compute(i, op);
    }
    SimulatedStep result;
    for (size_t r = 0; r < ranks_; ++r) {
      result.seconds = std::max({result.seconds, computing_free_[r], transfers_free_[r]});
    }
    result.computing = mean(computing_);
    result.waiting = result.seconds - result.computing;
    return result;
  }

  void show(const std::vector<int64_t>& ranks) { shown_ = ranks; }
  std::vector<TimelineEvent> take_timeline() { return std::move(timeline_); }
  double transfers() const { return transfers_; }
  double dropped_share() const { return routed_ > 0 ? dropped_ / routed_ : 0; }
  size_t slowest() const {
    return static_cast<size_t>(std::max_element(computing_.begin(), computing_.end()) -
                               computing_.begin());
  }

 private:
  static double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }

  Loads draw(int64_t layer, int64_t step) {
    Loads loads = draw_loads(options_, one_ ? 1 : mesh_.expert, layer, step);
    dropped_ += loads.dropped;
    routed_ += 1;
    return loads;
  }

  double ready(size_t rank, const Op& op) const {
    double time = 0;
    for (const size_t index : op.after) {
      time = std::max(time, done_[static_cast<size_t>(waited_for_[index])][rank]);
    }
    return time;
  }

  void finish(size_t i, size_t rank, double begin, double end) {
    if (waited_for_[i] >= 0) done_[static_cast<size_t>(waited_for_[i])][rank] = end;
    if (end <= begin) return;
    if (std::find(shown_.begin(), shown_.end(), static_cast<int64_t>(rank)) != shown_.end()) {
      timeline_.push_back({static_cast<int64_t>(rank), i, begin, end});
    }
  }

  void compute(size_t i, const Op& op) {
    const bool uneven = is_experts(op) && !loads_.of_rank.empty() && options_.skew > 0 && !one_;
    const double even = op.repeat * op_seconds(op, machine_, wide_);
    for (size_t r = 0; r < ranks_; ++r) {
      double seconds = even;
      if (uneven) {
        const auto expert = static_cast<int64_t>(r) / mesh_.model % mesh_.expert;
        seconds = op.repeat *
                  op_seconds(op, machine_, wide_, loads_.of_rank[static_cast<size_t>(expert)]);
      }
      seconds *= slowness_[r];
      const double begin = std::max(computing_free_[r], ready(r, op));
      computing_free_[r] = begin + seconds;
      computing_[r] += seconds;
      finish(i, r, begin, begin + seconds);
    }
  }

  void transfer(size_t i, const Op& op) {
    const GroupShape shape = group_shape(op.transfer.group, mesh_, machine_.ranks_per_host);
    const double load = op.transfer.kind == Collective::kAllToAll ? loads_.largest : 1.0;
    const double seconds = op.repeat * transfer_seconds(op.transfer, shape, machine_, load);
    const Groups groups{mesh_, op.transfer.group};
    start_.assign(one_ ? 1 : static_cast<size_t>(groups.count()), 0.0);
    const auto group_of = [&](size_t r) {
      return one_ ? 0 : static_cast<size_t>(groups.of(static_cast<int64_t>(r)));
    };
    for (size_t r = 0; r < ranks_; ++r) {
      double time = std::max(transfers_free_[r], ready(r, op));
      if (!op.overlaps) time = std::max(time, computing_free_[r]);
      double& start = start_[group_of(r)];
      start = std::max(start, time);
    }
    for (size_t r = 0; r < ranks_; ++r) {
      const double begin = start_[group_of(r)], end = begin + seconds;
      transfers_free_[r] = end;
      if (!op.overlaps) computing_free_[r] = end;
      finish(i, r, begin, end);
    }
    transfers_ += seconds;
  }

  const StepProgram& program_;
  const MeshConfig& mesh_;
  const Machine& machine_;
  const bool wide_;
  const SimulationOptions& options_;
  const size_t ranks_;
  const bool one_;                   // one rank stands for all of them
  std::vector<int64_t> waited_for_;  // by operation: its place in done_, or -1
  std::vector<std::vector<double>> done_;
  std::vector<double> slow_, slowness_, computing_free_, transfers_free_, computing_, start_;
  double transfers_ = 0, dropped_ = 0, routed_ = 0;
  Loads loads_;
  std::vector<int64_t> shown_;
  std::vector<TimelineEvent> timeline_;
};

SimulationResult run(Simulation simulation, int64_t ranks, const SimulationOptions& options) {
  SimulationResult result;
  result.ranks = ranks;
  result.shortest = std::numeric_limits<double>::infinity();
  for (int64_t number = 1; number <= options.steps; ++number) {
    result.steps.push_back(simulation.step(number));
    const double seconds = result.steps.back().seconds;
    result.mean += seconds / static_cast<double>(options.steps);
    result.shortest = std::min(result.shortest, seconds);
    result.longest = std::max(result.longest, seconds);
  }
  result.transfers = simulation.transfers();
  result.dropped_share = simulation.dropped_share();
  if (options.shown_ranks == 0) return result;
  // The last step again, now that the slowest rank is known.
  std::vector<int64_t> shown(static_cast<size_t>(std::min(options.shown_ranks, ranks)));
  std::iota(shown.begin(), shown.end(), 0);
  const auto slowest = static_cast<int64_t>(simulation.slowest());
  if (slowest >= static_cast<int64_t>(shown.size())) shown.push_back(slowest);
  simulation.show(shown);
  simulation.step(options.steps);
  result.timeline = simulation.take_timeline();
  return result;
}

}  // namespace

SimulationResult simulate(const StepProgram& program, const MeshConfig& mesh,
                          const Machine& machine, bool wide, const SimulationOptions& options) {
  const int64_t ranks = num_ranks(mesh);
  return run(Simulation(program, mesh, machine, wide, options, ranks), ranks, options);
}

SimulationResult simulate_even(const StepProgram& program, const MeshConfig& mesh,
                               const Machine& machine, bool wide) {
  SimulationOptions options;
  options.shown_ranks = 0;
  return run(Simulation(program, mesh, machine, wide, options, 1), 1, options);
}

}  // namespace switchyard
