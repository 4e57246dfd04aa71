#include "plan/mesh.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/format.h"
#include "model/moe/profile.h"

namespace switchyard {
namespace {

constexpr int64_t kMostRanks = 1 << 20;

int64_t parse_size(const std::string& text, const std::string& where) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > kMostRanks) {
    throw usage_error(format("\"{}\" is no number of ranks", text), where,
                      format("give a whole number from 1 to {}", kMostRanks));
  }
  return value;
}

void divides(const std::string& what, int64_t size, const std::string& axis, int64_t ranks) {
  if (size % ranks == 0) return;
  throw usage_error(format("{} = {} cannot be split over {} = {} ranks", what, size, axis, ranks),
                    "mesh", format("take a divisor of {}", size));
}

void check_groups(const Recipe& recipe, const RankBatch& batch) {
  const int64_t group = routing_rules(recipe.model.moe).group_sequences;
  if (recipe.model.moe.num_experts == 0 || batch.micro % group == 0 || group % batch.micro == 0) {
    return;
  }
  throw usage_error(format("routing groups of model.moe.group_sequences = {} and the {} sequences "
                           "of a rank's forward pass do not divide one another",
                           group, batch.micro),
                    "mesh", "change the groups, the batch or train.micro_batch_sequences");
}

}  // namespace

MeshConfig parse_mesh(const std::string& text, MeshConfig mesh) {
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const size_t equals = part.find('=');
    const std::string axis = part.substr(0, equals);
    int64_t* const size = axis == "data"     ? &mesh.data
                          : axis == "expert" ? &mesh.expert
                          : axis == "model"  ? &mesh.model
                                             : nullptr;
    if (equals == part.npos || size == nullptr) {
      throw usage_error(format("\"{}\" names no axis of the mesh", part), "--mesh",
                        "write data=2,expert=4,model=1");
    }
    *size = parse_size(part.substr(equals + 1), "--mesh");
    begin = end + 1;
  }
  return mesh;
}

std::string mesh_text(const MeshConfig& mesh) {
  return format("data {} x expert {} x model {}", mesh.data, mesh.expert, mesh.model);
}

int64_t num_ranks(const MeshConfig& mesh) { return mesh.data * mesh.expert * mesh.model; }

RankBatch divide_over_mesh(const Recipe& recipe, const MeshConfig& mesh) {
  const ModelConfig& model = recipe.model;
  divides("train.batch_sequences", recipe.train.batch_sequences, "data x expert",
          mesh.data * mesh.expert);
  if (model.moe.num_experts == 0 && mesh.expert > 1) {
    throw usage_error(
        format("a dense model has no experts to split over expert = {} ranks", mesh.expert), "mesh",
        "use data or model");
  }
  if (mesh.expert > 1) {
    divides("model.moe.num_experts", model.moe.num_experts, "expert", mesh.expert);
  }
  divides("model.num_heads", model.num_heads, "model", mesh.model);
  divides("model.d_ff", model.d_ff, "model", mesh.model);
  if (model.attention_hidden() > 0) {
    divides("model.moe.attention_d_ff", model.attention_hidden(), "model", mesh.model);
  }
  RankBatch batch;
  batch.sequences = recipe.train.batch_sequences / (mesh.data * mesh.expert);
  batch.micro = std::min(recipe.train.micro_batch(), batch.sequences);
  if (batch.sequences % batch.micro != 0) {
    throw usage_error(format("the {} sequences of a rank cannot be split into forward passes of "
                             "train.micro_batch_sequences = {}",
                             batch.sequences, batch.micro),
                      "mesh", "give a divisor");
  }
  batch.micro_batches = batch.sequences / batch.micro;
  check_groups(recipe, batch);
  return batch;
}

}  // namespace switchyard
