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

/// The bytes of the whole tensor, for as long as `whole` holds them; of use where is_writer().
/// Collective along `model`.
std::span<const std::byte> put_together(const Part& part, const Mesh& mesh, double wait_seconds,
                                        at::Tensor& whole) {
  // The one that writes may be busy with the disk.
  if (!part.slice.is_whole()) mesh.model().start_barrier(wait_seconds).wait();
  whole = gather_matrices(part.values, part.slice, mesh);
  if (!whole.defined()) return {};
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

/// The files of one stem, in directory + folder, and who writes them.
struct Files {
  std::string directory, folder, stem;
  std::vector<Part> own;  // what this rank writes, or has parts of
  Communicator& writers;
  std::vector<ManifestEntry> entries = {};  // of the files written here
  size_t count = 0;                         // files of all writers
};

/// Writes this rank's files. Collective over `writers` and along `model`.
void write(Files& files, const CheckpointOptions& options, const Mesh& mesh, double wait_seconds) {
  at::Tensor whole;
  if (!is_writer(mesh)) {
    for (const Part& part : files.own) put_together(part, mesh, wait_seconds, whole);
    return;
  }
  std::vector<TensorSpec> specs;
  for (const Part& part : files.own) specs.push_back(part.spec);
  const int64_t own =
      specs.empty() ? 0 : static_cast<int64_t>(num_tensor_files(specs, options.shard_bytes));
  std::vector<int64_t> counts(static_cast<size_t>(files.writers.size()));
  files.writers.all_gather(&own, counts.data(), 1, ElementType::kInt64);
  TensorFileOptions by{files.stem, options.shard_bytes};
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    const auto count = static_cast<size_t>(counts[rank]);
    if (static_cast<int>(rank) < files.writers.rank()) by.files_before += count;
    by.all_files += count;
  }
  files.count = by.all_files;
  if (own == 0) return;
  files.entries = write_tensor_files(
      files.directory + files.folder, specs, by, [&](size_t i, SafetensorsWriter& file) {
        file.write(put_together(files.own[i], mesh, wait_seconds, whole));
      });
}

/// After all have written: the lines of the manifest of all writers' files, of use on the first of
/// them, which writes their index. Collective over `writers`.
std::vector<ManifestEntry> gather_lines(const Files& files, const Mesh& mesh) {
  if (!is_writer(mesh)) return {};
  std::vector<double> bytes = {0};
  for (const Part& part : files.own) bytes.front() += static_cast<double>(part.spec.bytes());
  files.writers.sum(bytes);
  std::vector<ManifestEntry> lines;
  const std::string text = to_json(files.entries).dump();
  for (int rank = 0; rank < files.writers.size(); ++rank) {
    std::vector<ManifestEntry> theirs =
        entries_of(json::parse(files.writers.broadcast_text(text, rank)));
    std::move(theirs.begin(), theirs.end(), std::back_inserter(lines));
  }
  if (files.writers.rank() == 0 && files.count > 1) {
    write_tensor_index(files.directory + files.folder, files.stem, lines,
                       static_cast<uint64_t>(bytes.front()));
  }
  put_in_folder(lines, files.folder);
  return lines;
}

/// Weights by the ranks of the first replica, so also state that all replicas have.
void fill(const std::string& directory, const EncoderDecoder& model, Optimizer& optimizer,
          const TrainPosition& position, const CheckpointOptions& options, double wait_seconds) {
  const Mesh& mesh = model.parameters().mesh();
  const auto wait_for_all = [&] { mesh.all().start_barrier(wait_seconds).wait(); };
  if (mesh.is_first()) make_directories(directory + kStateFolder);
  wait_for_all();
  const bool first_replica = mesh.place().data == 0, shared = optimizer.is_shared();
  Files weights{directory, "", kWeightsStem, own_parts(parts_of(model), mesh), mesh.expert()};
  Files state{directory, kStateFolder, kOptimizerStem,
              shared ? parts_of(optimizer) : own_parts(parts_of(optimizer), mesh),
              shared ? mesh.batch() : mesh.expert()};
  if (first_replica) write(weights, options, mesh, wait_seconds);
  wait_for_all();
  if (first_replica || shared) write(state, options, mesh, wait_seconds);
  wait_for_all();
  std::vector<ManifestEntry> lines, of_state;
  if (first_replica) lines = gather_lines(weights, mesh);
  if (first_replica || shared) of_state = gather_lines(state, mesh);
  if (!mesh.is_first()) return;
  std::move(of_state.begin(), of_state.end(), std::back_inserter(lines));
  finish_checkpoint(directory, model.config(), state_text(optimizer, position), options,
                    std::move(lines));
}

}  // namespace

void save_shared_checkpoint(const std::string& directory, const EncoderDecoder& model,
                            Optimizer& optimizer, const TrainPosition& position,
                            const CheckpointOptions& options, double wait_seconds) {
  const Mesh& mesh = model.parameters().mesh();
  const std::string temporary = directory + ".tmp";
  if (mesh.is_first()) remove_tree(temporary);
  try {
    fill(temporary, model, optimizer, position, options, wait_seconds);
    if (mesh.is_first()) commit_directory(temporary, directory);
  } catch (...) {
    if (mesh.is_first()) remove_tree(temporary);  // a full disk has better uses for the space
    throw;
  }
  mesh.all().start_barrier(wait_seconds).wait();
}

}  // namespace switchyard
