#include "train/checkpoint.h"

#include <cstring>
#include <filesystem>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/json.h"
#include "checkpoint/file_manifest.h"
#include "model/model_directory.h"
#include "train/optimizer_state_file.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStateFile = "/training_state/state.json";
constexpr const char* kHint = "use another checkpoint, or copy this one again";

json to_json(const TrainPosition& position) {
  json object = {{"step", position.step},
                 {"next_sequence", position.next_sequence},
                 {"tokens", position.tokens},
                 {"seconds", position.seconds},
                 {"window", position.window.to_json()},
                 {"health", position.health.to_json()},
                 {"skipped_batches", position.skipped.ranges()},
                 {"data", position.data}};
  // A number that is not finite is written as null, and read as none.
  if (position.nlp) object["nlp"] = *position.nlp;
  if (position.quality) object["quality"] = *position.quality;
  if (position.quality) object["quality_metric"] = position.quality_metric;
  if (!position.teacher.empty()) object["teacher"] = position.teacher;
  return object;
}

json read_state(const std::string& directory) {
  const std::string path = directory + kStateFile;
  if (!fs::exists(path)) throw damaged_error("the file is missing", path, kHint);
  return parse_json(read_file(path), path);
}

/// Nothing where it is missing or null, as a number that is not finite is written.
std::optional<double> finite_number(const json& object, const char* key) {
  const json value = object.value(key, json());
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

TrainPosition position_of(const json& object, const std::string& directory) {
  try {
    TrainPosition position;
    position.step = object.at("step").get<int64_t>();
    position.next_sequence = object.at("next_sequence").get<int64_t>();
    position.tokens = object.at("tokens").get<int64_t>();
    position.seconds = object.at("seconds").get<double>();
    position.window = MetricsWindow::from_json(object.at("window"));
    position.data = object.at("data").get<std::string>();
    if (object.contains("health")) position.health = HealthState::from_json(object["health"]);
    for (const auto& [begin, end] :
         object.value("skipped_batches", std::vector<SkippedBatches::Range>())) {
      position.skipped.add(begin, end);
    }
    position.nlp = finite_number(object, "nlp");
    position.quality = finite_number(object, "quality");
    position.quality_metric = object.value("quality_metric", std::string());
    if (!object.contains("quality_metric")) {  // of an earlier version, compared by NLP alone
      position.quality = position.nlp;
      position.quality_metric = kNlpMetric;
    }
    position.teacher = object.value("teacher", std::string());
    return position;
  } catch (const json::exception& error) {
    throw damaged_error(format("unsound state ({})", error.what()), directory + kStateFile, kHint);
  }
}

/// Writes some of the snapshot's tensors, number `first` and those after it. Returns their files'
/// lines of the manifest. `folder`: "" or a path below `directory` that begins with "/".
std::vector<ManifestEntry> write_tensors(const std::string& directory, const std::string& folder,
                                         const std::vector<TensorSpec>& tensors,
                                         const TensorFileOptions& options, StateSnapshot& snapshot,
                                         size_t first) {
  std::vector<ManifestEntry> entries = write_tensor_files(directory + folder, tensors, options,
                                                          [&](size_t i, SafetensorsWriter& file) {
                                                            file.write(snapshot.take(first + i));
                                                            snapshot.release(first + i);
                                                          });
  put_in_folder(entries, folder);
  return entries;
}

void fill(const std::string& directory, const CheckpointContents& contents,
          const CheckpointOptions& options, StateSnapshot& snapshot) {
  make_directories(directory + kStateFolder);
  // Tensors first: training waits for them.
  std::vector<ManifestEntry> entries = write_tensors(
      directory, "", contents.weights, {kWeightsStem, options.shard_bytes}, snapshot, 0);
  std::vector<ManifestEntry> of_optimizer =
      write_tensors(directory, kStateFolder, contents.optimizer,
                    {kOptimizerStem, options.shard_bytes}, snapshot, contents.weights.size());
  std::move(of_optimizer.begin(), of_optimizer.end(), std::back_inserter(entries));
  finish_checkpoint(directory, contents.config, contents.state, options, std::move(entries));
}

}  // namespace

void put_in_folder(std::vector<ManifestEntry>& entries, const std::string& folder) {
  for (ManifestEntry& entry : entries) entry.path = (folder + "/" + entry.path).substr(1);
}

void finish_checkpoint(const std::string& directory, const ModelConfig& config,
                       const std::string& state, const CheckpointOptions& options,
                       std::vector<ManifestEntry> entries) {
  SaveOptions model_options;
  model_options.tokenizer = options.tokenizer;
  save_model_description(directory, config, model_options);
  write_file(directory + kStateFile, state);
  write_file_manifest(directory, std::move(entries));
}

std::string state_text(Optimizer& optimizer, const TrainPosition& position) {
  json state = to_json(position);
  state["optimizer_steps"] = optimizer.steps_done();
  return state.dump(2) + "\n";
}

uint64_t CheckpointContents::total_bytes() const {
  uint64_t total = 0;
  for (const auto& tensor : bytes) total += tensor.size();
  return total;
}

CheckpointContents checkpoint_contents(const EncoderDecoder& model, Optimizer& optimizer,
                                       const TrainPosition& position) {
  CheckpointContents contents;
  contents.config = model.config();
  for (WeightView& view : weight_views(model)) {
    contents.weights.push_back(std::move(view.spec));
    contents.bytes.push_back(view.bytes);
  }
  for (const OptimizerTensor& entry : optimizer.state()) {
    TORCH_CHECK(entry.tensor.scalar_type() == at::kFloat && entry.tensor.is_contiguous(),
                entry.name, ": optimizer state is contiguous float32");
    contents.optimizer.push_back({entry.name, DType::kF32, entry.tensor.sizes().vec()});
    contents.bytes.push_back(
        {static_cast<const std::byte*>(entry.tensor.const_data_ptr()), entry.tensor.nbytes()});
  }
  contents.state = state_text(optimizer, position);
  return contents;
}

void write_checkpoint(const std::string& directory, const CheckpointContents& contents,
                      const CheckpointOptions& options, StateSnapshot& snapshot) {
  const std::string temporary = directory + ".tmp";
  remove_tree(temporary);
  try {
    fill(temporary, contents, options, snapshot);
    commit_directory(temporary, directory);
  } catch (...) {
    remove_tree(temporary);  // a full disk has better uses for the space
    throw;
  }
}

void save_checkpoint(const std::string& directory, const EncoderDecoder& model,
                     Optimizer& optimizer, const TrainPosition& position,
                     const CheckpointOptions& options) {
  const CheckpointContents contents = checkpoint_contents(model, optimizer, position);
  StateSnapshot snapshot(contents.bytes, 0);
  write_checkpoint(directory, contents, options, snapshot);
}

TrainPosition load_checkpoint(const std::string& directory, EncoderDecoder& model,
                              Optimizer& optimizer, bool verified) {
  if (!verified) verify_files(directory);
  load_weights(directory, model);
  read_optimizer_state(TensorFiles(directory + kStateFolder, kOptimizerStem), optimizer);
  const json state = read_state(directory);
  const TrainPosition position = position_of(state, directory);
  const json steps = state.value("optimizer_steps", json());
  if (!steps.is_number_unsigned()) {
    throw damaged_error("no optimizer_steps", directory + kStateFile, kHint);
  }
  optimizer.set_steps_done(steps.get<int64_t>());
  return position;
}

TrainPosition read_position(const std::string& directory) {
  return position_of(read_state(directory), directory);
}

}  // namespace switchyard
