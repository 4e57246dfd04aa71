#include "comm/mesh.h"

#include "base/error.h"
#include "base/format.h"
#include "comm/single_rank.h"
#include "comm/world.h"

namespace switchyard {

std::string MeshShape::text() const { return format("{} x {} x {}", data, expert, model); }

MeshPlace place_of(int64_t rank, const MeshShape& shape) {
  return {rank / shape.model / shape.expert, rank / shape.model % shape.expert, rank % shape.model};
}

Mesh::Mesh()
    : single_(std::make_unique<SingleRank>("world")),
      all_(single_.get()),
      batch_(std::make_unique<SingleRank>("batch")),
      data_(std::make_unique<SingleRank>("data")),
      expert_(std::make_unique<SingleRank>("expert")),
      model_(std::make_unique<SingleRank>("model")) {}

Mesh::Mesh(World& world, const MeshShape& shape, int64_t exchange_chunks)
    : shape_(shape), exchange_chunks_(exchange_chunks), all_(&world.all()) {
  if (world.size() != shape.size()) {
    throw usage_error(
        format("a mesh of {} (data x expert x model) has {} ranks, but {} {} started", shape.text(),
               shape.size(), world.size(), world.size() == 1 ? "was" : "were"),
        "mesh",
        format("start the program by `mpirun -np {}`, or change mesh.data, mesh.expert or "
               "mesh.model",
               shape.size()));
  }
  place_ = place_of(world.rank(), shape);
  const auto color = [](int64_t value) { return static_cast<int>(value); };
  batch_ = world.split("batch", color(place_.model));
  data_ = world.split("data", color(place_.expert * shape.model + place_.model));
  expert_ = world.split("expert", color(place_.data * shape.model + place_.model));
  model_ = world.split("model", color(place_.data * shape.expert + place_.expert));
}

Share Mesh::rows(int64_t sequences) const {
  const int64_t size = sequences / batch_->size();
  return {batch_->rank() * size, size};
}

}  // namespace switchyard
