#include "train/teacher.h"

#include <c10/core/GradMode.h>

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "model/model_directory.h"
#include "train/run_directory.h"
#include "train/weights_fingerprint.h"

namespace switchyard {
namespace {

constexpr std::string_view kDense = ".mlp.";
constexpr std::string_view kRouted = ".mlp.experts.";

std::string shape_of(const Parameter& parameter) {
  return shape_text(parameter.value().sizes().vec());
}

/// "encoder.block.1.layer.1.mlp.wi.weight" -> "encoder.1", as RoutingStats call it.
std::string layer_of(const std::string& name) {
  const size_t stack = name.find('.'), number = name.find('.', stack + 1);
  const size_t end = name.find('.', number + 1);
  return name.substr(0, stack) + name.substr(number, end - number);
}

}  // namespace

Teacher::Teacher(const std::string& path, Precision precision, const ModelConfig& student)
    : path_(path) {
  const std::string directory = find_model_directory(path);
  ModelConfig own = read_model_description(directory).config;
  if (own.moe.num_experts > 0 && own.moe.router != "expert_choice") own.moe.capacity = "dropless";
  model_ = std::make_unique<EncoderDecoder>(own, precision);
  load_weights(directory, *model_);
  if (config().vocab_size == student.vocab_size) return;
  throw usage_error(format("the teacher has {} rows of vocabulary, the student {}",
                           config().vocab_size, student.vocab_size),
                    path, "set model.vocab_size to the teacher's");
}

std::string Teacher::fingerprint() const { return weights_fingerprint(model_->parameters()); }

ops::SoftTargets Teacher::soft_targets(const Batch& batch, const ObjectiveConfig& objective) {
  const c10::NoGradGuard no_grad;  // not inference mode: its tensors cannot be saved for backward
  const ForwardOptions options;
  const at::Tensor hidden = model_->decode(batch, model_->encode(batch, options), options);
  ops::SoftTargets soft;
  soft.hidden = hidden.reshape({-1, hidden.size(-1)});
  soft.table = &model_->output_table();
  soft.scale = model_->output_scale();
  soft.weight = objective.soft_weight;
  soft.temperature = objective.temperature;
  return soft;
}

int64_t Teacher::most_used_expert(const std::string& feed_forward, const Batch& sample) {
  if (routing_.empty()) {
    const c10::NoGradGuard no_grad;
    routing_ = model_->forward(sample, ForwardOptions{}).routing;
  }
  const std::string layer = layer_of(feed_forward);
  for (const RoutingStats& stats : routing_) {
    if (stats.layer != layer) continue;
    return std::max_element(stats.load.begin(), stats.load.end()) - stats.load.begin();
  }
  return 0;
}

void Teacher::start_student(const std::string& how, const Batch& sample, EncoderDecoder& student) {
  const c10::NoGradGuard no_grad;
  const auto copy = [&](const Parameter& from, const at::Tensor& value, Parameter& to) {
    if (value.sizes().vec() != to.slice().whole_shape()) {
      throw usage_error(format("{} is {} in the student, {} in the teacher", to.name(),
                               shape_of(to), shape_of(from)),
                        path_,
                        "leave the student's shape out of [model]: it is the teacher's, or "
                        "set objective.student_start = \"none\"");
    }
    take_slice(value, to.slice(), to.value().detach());
  };
  for (Parameter& parameter : student.parameters().all()) {
    const std::string& name = parameter.name();
    if (const Parameter* same = model_->parameters().find(name)) {
      copy(*same, same->value().detach(), parameter);
      continue;
    }
    const size_t place = name.find(kDense);
    if (how == "fresh" || place == name.npos) continue;
    std::string routed = name;
    routed.replace(place, kDense.size(), kRouted);
    const Parameter* experts = model_->parameters().find(routed);
    if (!experts) continue;
    const at::Tensor stack = experts->value().detach();
    copy(*experts,
         how == "average" ? stack.mean(0) : stack.select(0, most_used_expert(name, sample)),
         parameter);
  }
  student.parameters().refresh_compute();
}

}  // namespace switchyard
