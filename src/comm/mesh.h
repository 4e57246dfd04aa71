// Mesh: the ranks of a run as data x expert x model, and the groups of ranks along its axes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace switchyard {

class World;

/// Ranks along each axis. Rank r stands at r = (data * expert_size + expert) * model_size + model:
/// neighbours share the axis that talks most.
struct MeshShape {
  int64_t data = 1;    // replicas of all weights
  int64_t expert = 1;  // each holds a share of the experts
  int64_t model = 1;   // each holds a share of every matrix

  int64_t size() const { return data * expert * model; }
  /// "2 x 4 x 1".
  std::string text() const;
};

struct MeshPlace {
  int64_t data = 0, expert = 0, model = 0;
};
MeshPlace place_of(int64_t rank, const MeshShape& shape);

/// A contiguous share of `total` things, all shares equal.
struct Share {
  int64_t begin = 0, size = 0;
};

class Mesh {
 public:
  /// One rank.
  Mesh();
  /// All ranks of `world`, which must outlive the mesh; all make it together. `exchange_chunks`:
  /// into how many parts an exchange of experts' rows is cut, so that one travels while another is
  /// computed. Throws Error(kUsage) unless there are shape.size() ranks.
  Mesh(World& world, const MeshShape& shape, int64_t exchange_chunks = 1);

  const MeshShape& shape() const { return shape_; }
  const MeshPlace& place() const { return place_; }
  int64_t exchange_chunks() const { return exchange_chunks_; }
  int rank() const { return all_->rank(); }
  bool is_first() const { return rank() == 0; }

  Communicator& all() const { return *all_; }
  /// Ranks with other rows of the batch and the same part of the dense weights: data x expert.
  Communicator& batch() const { return *batch_; }
  /// Ranks with the same experts: the replicas that sum their gradients.
  Communicator& data() const { return *data_; }
  /// Ranks that together hold all experts.
  Communicator& expert() const { return *expert_; }
  /// Ranks that together hold every matrix.
  Communicator& model() const { return *model_; }

  /// This rank's rows of a batch of `sequences`. Requires that batch().size() divides them.
  Share rows(int64_t sequences) const;

 private:
  MeshShape shape_;
  MeshPlace place_;
  int64_t exchange_chunks_ = 1;
  std::unique_ptr<Communicator> single_;  // of a mesh without a world
  Communicator* all_;
  std::unique_ptr<Communicator> batch_, data_, expert_, model_;
};

}  // namespace switchyard
