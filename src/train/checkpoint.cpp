#include "train/checkpoint.h"

#include <cstring>
#include <filesystem>
#include <map>
#include <span>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;

Tensors tensors_of(EncoderDecoder& model, Optimizer& optimizer) {
  Tensors tensors;
  for (const Parameter& parameter : model.parameters().all()) {
    tensors.emplace_back(parameter.name(), parameter.value().detach());
  }
  for (const OptimizerTensor& state : optimizer.state()) {
    tensors.emplace_back(state.name, state.tensor);
  }
  return tensors;
}

nlohmann::json to_json(const TrainPosition& position) {
  return {{"step", position.step},       {"next_sequence", position.next_sequence},
          {"tokens", position.tokens},   {"seconds", position.seconds},
          {"window", position.window.to_json()}, {"data", position.data}};
}

TrainPosition position_of(const nlohmann::json& object) {
  TrainPosition position;
  position.step = object.at("step").get<int64_t>();
  position.next_sequence = object.at("next_sequence").get<int64_t>();
  position.tokens = object.at("tokens").get<int64_t>();
  position.seconds = object.at("seconds").get<double>();
  position.window = MetricsWindow::from_json(object.at("window"));
  position.data = object.at("data").get<std::string>();
  return position;
}

}  // namespace

void save_checkpoint(const std::string& directory, EncoderDecoder& model, Optimizer& optimizer,
                     const TrainPosition& position, const std::string& tokenizer_path) {
  const std::string temporary = directory + ".tmp";
  fs::remove_all(temporary);
  make_directories(temporary + "/training_state");
  AtomicFileWriter file(temporary + "/training_state/tensors.bin");
  for (const auto& [name, tensor] : tensors_of(model, optimizer)) {
    const at::Tensor dense = tensor.contiguous();
    file.write(std::span(static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()));
  }
  file.commit();
  nlohmann::json state = to_json(position);
  state["optimizer_steps"] = optimizer.steps_done();
  write_file(temporary + "/training_state/state.json", state.dump());
  ModelConfig config = model.config();
  FieldList fields;
  config.list_fields(fields);
  write_file(temporary + "/config.json",
             nlohmann::json{{"switchyard", fields.to_json()}}.dump(2));
  write_file(temporary + "/spiece.model", read_file(tokenizer_path));
  commit_directory(temporary, directory);
}

TrainPosition load_checkpoint(const std::string& directory, EncoderDecoder& model,
                              Optimizer& optimizer) {
  const MappedFile file(directory + "/training_state/tensors.bin");
  size_t offset = 0;
  for (const auto& [name, tensor] : tensors_of(model, optimizer)) {
    if (offset + tensor.nbytes() > file.bytes().size()) {
      throw damaged_error("the file is too short", file.path());
    }
    std::memcpy(tensor.mutable_data_ptr(), file.bytes().data() + offset, tensor.nbytes());
    offset += tensor.nbytes();
  }
  model.parameters().refresh_compute();
  const auto state =
      nlohmann::json::parse(read_file(directory + "/training_state/state.json"));
  optimizer.set_steps_done(state.at("optimizer_steps").get<int64_t>());
  return position_of(state);
}

std::unique_ptr<EncoderDecoder> load_model(const std::string& directory, Precision precision) {
  ModelConfig config;
  FieldList fields;
  config.list_fields(fields);
  const auto object = nlohmann::json::parse(read_file(directory + "/config.json"));
  fields.read_json(object.at("switchyard"), directory);
  auto model = std::make_unique<EncoderDecoder>(config, precision);
  const MappedFile file(directory + "/training_state/tensors.bin");
  size_t offset = 0;
  for (Parameter& parameter : model->parameters().all()) {
    const at::Tensor tensor = parameter.value().detach();
    std::memcpy(tensor.mutable_data_ptr(), file.bytes().data() + offset, tensor.nbytes());
    offset += tensor.nbytes();
  }
  model->parameters().refresh_compute();
  return model;
}

}  // namespace switchyard
