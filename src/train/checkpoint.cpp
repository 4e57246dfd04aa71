#include "train/checkpoint.h"

#include <cstring>
#include <filesystem>
#include <span>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/json.h"
#include "checkpoint/file_manifest.h"
#include "model/model_directory.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kOptimizerFile = "/training_state/optimizer.safetensors";
constexpr const char* kStateFile = "/training_state/state.json";
constexpr const char* kHint = "use another checkpoint, or copy this one again";

json to_json(const TrainPosition& position) {
  return {{"step", position.step},
          {"next_sequence", position.next_sequence},
          {"tokens", position.tokens},
          {"seconds", position.seconds},
          {"window", position.window.to_json()},
          {"data", position.data}};
}

json read_state(const std::string& directory) {
  const std::string path = directory + kStateFile;
  if (!fs::exists(path)) throw damaged_error("the file is missing", path, kHint);
  return parse_json(read_file(path), path);
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
    return position;
  } catch (const json::exception& error) {
    throw damaged_error(format("unsound state ({})", error.what()), directory + kStateFile, kHint);
  }
}

void save_optimizer(const std::string& path, Optimizer& optimizer) {
  const std::vector<OptimizerTensor> state = optimizer.state();
  std::vector<TensorSpec> specs;
  for (const OptimizerTensor& entry : state) {
    TORCH_CHECK(entry.tensor.scalar_type() == at::kFloat && entry.tensor.is_contiguous(),
                entry.name, ": optimizer state is contiguous float32");
    specs.push_back({entry.name, DType::kF32, entry.tensor.sizes().vec()});
  }
  SafetensorsWriter file(path, specs);
  for (const OptimizerTensor& entry : state) {
    file.write(
        {static_cast<const std::byte*>(entry.tensor.const_data_ptr()), entry.tensor.nbytes()});
  }
  file.commit();
}

void load_optimizer(const std::string& path, Optimizer& optimizer) {
  const SafetensorsFile file(path);
  const std::vector<OptimizerTensor> state = optimizer.state();
  for (const OptimizerTensor& entry : state) {
    const TensorEntry* stored = file.find(entry.name);
    if (!stored || stored->spec.dtype != DType::kF32 ||
        stored->spec.shape != entry.tensor.sizes().vec()) {
      throw damaged_error(format("no {} {} in the optimizer's state", entry.name,
                                 shape_text(entry.tensor.sizes().vec())),
                          path, "go on with the optimizer that the run was started with");
    }
    std::memcpy(entry.tensor.mutable_data_ptr(), file.data(*stored).data(), entry.tensor.nbytes());
  }
  if (file.tensors().size() != state.size()) {
    throw damaged_error(
        format("{} tensors instead of the optimizer's {}", file.tensors().size(), state.size()),
        path, "go on with the optimizer that the run was started with");
  }
}

}  // namespace

void save_checkpoint(const std::string& directory, const EncoderDecoder& model,
                     Optimizer& optimizer, const TrainPosition& position,
                     const std::string& tokenizer_path) {
  const std::string temporary = directory + ".tmp";
  fs::remove_all(temporary);
  make_directories(temporary + "/training_state");
  SaveOptions options;
  options.tokenizer = tokenizer_path;
  save_model(temporary, model, options);
  save_optimizer(temporary + kOptimizerFile, optimizer);
  json state = to_json(position);
  state["optimizer_steps"] = optimizer.steps_done();
  write_file(temporary + kStateFile, state.dump(2) + "\n");
  write_file_manifest(temporary);
  commit_directory(temporary, directory);
}

TrainPosition load_checkpoint(const std::string& directory, EncoderDecoder& model,
                              Optimizer& optimizer) {
  verify_files(directory);
  load_weights(directory, model);
  load_optimizer(directory + kOptimizerFile, optimizer);
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
