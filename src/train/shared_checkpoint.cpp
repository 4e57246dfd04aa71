#include "train/shared_checkpoint.h"

#include <iterator>
#include <span>
#include <utility>

#include "base/files.h"
#include "base/json.h"
#include "checkpoint/file_manifest.h"
#include "model/model_directory.h"
#include "model/parallel/whole_model.h"
#include "train/optimizer_state_file.h"

namespace switchyard {
namespace {

using nlohmann::json;

/// What this rank has of a tensor of the files.
struct Part {
  TensorSpec spec;  // of the tensor, experts of other ranks left out
  TensorSlice slice;
  at::Tensor values;  // float32
  bool of_expert = false;
};

at::Tensor as_floats(std::span<const std::byte> bytes) {
  return at::from_blob(const_cast<std::byte*>(bytes.data()),
                       {static_cast<int64_t>(bytes.size() / sizeof(float))}, at::kFloat);
}

std::vector<Part> parts_of(const EncoderDecoder& model) {
  std::vector<Part> parts;
  for (WeightView& view : weight_views(model)) {
    parts.push_back({std::move(view.spec), view.slice, as_floats(view.bytes), view.of_expert});
  }
  return parts;
}

std::vector<Part> parts_of(Optimizer& optimizer) {
  std::vector<Part> parts;
  for (const OptimizerTensor& entry : optimizer.state()) {
    const TensorSlice slice = entry.stack ? entry.slice.alone(0) : entry.slice;
    parts.push_back(
        {{stored_name(entry), DType::kF32, slice.whole_shape()}, slice, entry.tensor, entry.stack});
  }
  return parts;
}

/// The bytes of the whole tensor, for as long as `whole` holds them. Collective.
std::span<const std::byte> put_together(const Part& part, const Mesh& mesh, at::Tensor& whole) {
  whole = gather_matrices(part.values, part.slice, mesh);
  return {static_cast<const std::byte*>(whole.const_data_ptr()), whole.nbytes()};
}

json to_json(const std::vector<ManifestEntry>& entries) {
  json list = json::array();
  for (const ManifestEntry& entry : entries) {
    list.push_back({entry.path, entry.bytes, entry.hash, entry.tensors});
  }
  return list;
}

std::vector<ManifestEntry> entries_of(const json& list) {
  std::vector<ManifestEntry> entries;
  for (const json& item : list) {
    entries.push_back({item[0].get<std::string>(), item[1].get<uint64_t>(),
                       item[2].get<std::string>(),
                       item[3].get<std::map<std::string, std::string>>()});
  }
  return entries;
}

/// Where some ranks hold parts of the same matrices, the first of them writes.
bool is_writer(const Mesh& mesh) { return mesh.place().model == 0; }

/// What this rank writes if it has the first copy of everything: its experts, the first rank of
/// those that have other experts all else.
std::vector<Part> own_parts(std::vector<Part> all, const Mesh& mesh) {
  std::erase_if(all, [&](const Part& part) { return !part.of_expert && mesh.place().expert > 0; });
  return all;
}

/// Writes the files of one stem in directory + folder, each of `writers` its parts. On the first of
/// them the lines of all, elsewhere nothing of use. Collective over `writers` and along `model`.
std::vector<ManifestEntry> write_parts(const std::string& directory, const std::string& folder,
                                       const std::string& stem, const std::vector<Part>& own,
                                       const CheckpointOptions& options, Communicator& writers,
                                       const Mesh& mesh) {
  at::Tensor whole;
  if (!is_writer(mesh)) {
    for (const Part& part : own) put_together(part, mesh, whole);
    return {};
  }
  std::vector<TensorSpec> specs;
  double bytes = 0;
  for (const Part& part : own) {
    specs.push_back(part.spec);
    bytes += static_cast<double>(part.spec.bytes());
  }
  const auto files =
      own.empty() ? int64_t{0} : static_cast<int64_t>(num_tensor_files(specs, options.shard_bytes));
  std::vector<int64_t> counts(static_cast<size_t>(writers.size()));
  writers.all_gather(&files, counts.data(), 1, ElementType::kInt64);
  TensorFileOptions by{stem, options.shard_bytes};
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    const auto count = static_cast<size_t>(counts[rank]);
    if (static_cast<int>(rank) < writers.rank()) by.files_before += count;
    by.all_files += count;
  }
  std::vector<ManifestEntry> entries;
  if (files > 0) {
    entries = write_tensor_files(
        directory + folder, specs, by,
        [&](size_t i, SafetensorsWriter& file) { file.write(put_together(own[i], mesh, whole)); });
  }
  std::vector<double> sums = {bytes};
  writers.sum(sums);
  std::vector<ManifestEntry> lines;
  const std::string text = to_json(entries).dump();
  for (int rank = 0; rank < writers.size(); ++rank) {
    std::vector<ManifestEntry> theirs = entries_of(json::parse(writers.broadcast_text(text, rank)));
    std::move(theirs.begin(), theirs.end(), std::back_inserter(lines));
  }
  if (writers.rank() == 0 && by.all_files > 1) {
    write_tensor_index(directory + folder, stem, lines, static_cast<uint64_t>(sums.front()));
  }
  put_in_folder(lines, folder);
  return lines;
}

}  // namespace

void save_shared_checkpoint(const std::string& directory, const EncoderDecoder& model,
                            Optimizer& optimizer, const TrainPosition& position,
                            const CheckpointOptions& options) {
  const Mesh& mesh = model.parameters().mesh();
  const std::string temporary = directory + ".tmp";
  if (mesh.is_first()) {
    remove_tree(temporary);
    make_directories(temporary + kStateFolder);
  }
  mesh.all().barrier();
  // Weights by the ranks of the first replica, so also state that all replicas have.
  const bool is_first_replica = mesh.place().data == 0;
  std::vector<ManifestEntry> entries, of_optimizer;
  if (is_first_replica) {
    entries = write_parts(temporary, "", kWeightsStem, own_parts(parts_of(model), mesh), options,
                          mesh.expert(), mesh);
  }
  if (optimizer.is_shared()) {
    of_optimizer = write_parts(temporary, kStateFolder, kOptimizerStem, parts_of(optimizer),
                               options, mesh.batch(), mesh);
  } else if (is_first_replica) {
    of_optimizer = write_parts(temporary, kStateFolder, kOptimizerStem,
                               own_parts(parts_of(optimizer), mesh), options, mesh.expert(), mesh);
  }
  if (mesh.is_first()) {
    std::move(of_optimizer.begin(), of_optimizer.end(), std::back_inserter(entries));
    finish_checkpoint(temporary, model.config(), state_text(optimizer, position), options,
                      std::move(entries));
    commit_directory(temporary, directory);
  }
  mesh.all().barrier();
}

}  // namespace switchyard
