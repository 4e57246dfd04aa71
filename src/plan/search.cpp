#include "plan/search.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.h"

namespace switchyard {
namespace {

std::vector<MeshConfig> meshes_of(int64_t ranks) {
  std::vector<MeshConfig> meshes;
  for (int64_t data = 1; data <= ranks; ++data) {
    if (ranks % data != 0) continue;
    for (int64_t expert = 1; expert <= ranks / data; ++expert) {
      if (ranks / data % expert == 0) meshes.push_back({data, expert, ranks / data / expert});
    }
  }
  return meshes;
}

/// Sequences of a forward pass that are worth trying on a rank.
std::vector<int64_t> micro_batches(const Recipe& recipe, int64_t rank_sequences) {
  std::vector<int64_t> sizes;
  for (int64_t size = rank_sequences; size >= 1; size /= 2) {
    sizes.push_back(size);
    if (size % 2 != 0) break;
  }
  const int64_t own = std::min(recipe.train.micro_batch(), rank_sequences);
  if (std::find(sizes.begin(), sizes.end(), own) == sizes.end()) sizes.push_back(own);
  return sizes;
}

class Search {
 public:
  Search(const PlanRequest& request, const SearchOptions& options)
      : request_(request),
        limit_(options.memory_limit > 0 ? options.memory_limit : request.machine.memory_bytes),
        parameters_(parameter_shapes(request.recipe)) {
    result_.smallest.peak_memory = std::numeric_limits<double>::infinity();
  }

  void try_mesh(const MeshConfig& mesh) {
    std::optional<FoundMesh> best;
    const Recipe& recipe = request_.recipe;
    for (const int64_t micro :
         micro_batches(recipe, recipe.train.batch_sequences / (mesh.data * mesh.expert))) {
      for (const bool recompute : {false, true}) {
        for (const bool shard : {false, true}) {
          if (shard && mesh.data * mesh.expert == 1) continue;
          const auto found = try_settings({mesh, micro, recompute, shard});
          if (found && (!best || found->step_seconds < best->step_seconds)) best = found;
        }
      }
    }
    if (best) result_.fitting.push_back(*best);
  }

  SearchResult take() {
    std::stable_sort(
        result_.fitting.begin(), result_.fitting.end(),
        [](const FoundMesh& a, const FoundMesh& b) { return a.step_seconds < b.step_seconds; });
    return std::move(result_);
  }

 private:
  std::optional<FoundMesh> try_settings(FoundMesh found) {
    PlanRequest request = request_;
    request.mesh = found.mesh;
    request.recipe.train.micro_batch_sequences = found.micro;
    request.recipe.train.recompute = found.recompute;
    request.options.shard_optimizer = found.shard_optimizer;
    Plan plan;
    try {
      plan = make_plan(request, parameters_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUsage) throw;
      result_.refused = error.what();
      return std::nullopt;
    }
    ++result_.tried;
    found.peak_memory = plan.memory.peak;
    found.step_seconds = plan.step_seconds;
    found.tokens_per_second = plan.tokens_per_second;
    if (found.peak_memory < result_.smallest.peak_memory) result_.smallest = found;
    if (limit_ > 0 && found.peak_memory > limit_) return std::nullopt;
    return found;
  }

  const PlanRequest& request_;
  const double limit_;
  const std::vector<ParameterShape> parameters_;
  SearchResult result_;
};

}  // namespace

SearchResult search_meshes(const PlanRequest& request, const SearchOptions& options) {
  Search search(request, options);
  for (const MeshConfig& mesh : meshes_of(options.ranks)) {
    if (request.recipe.train.batch_sequences % (mesh.data * mesh.expert) == 0) {
      search.try_mesh(mesh);
    }
  }
  return search.take();
}

}  // namespace switchyard
