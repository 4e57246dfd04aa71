#include "model/upcycle.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"
#include "base/new_directory.h"
#include "base/random.h"
#include "model/model_directory.h"

namespace switchyard {
namespace {

constexpr int64_t kProbeSequences = 8, kProbeInputs = 64, kProbeTargets = 32;

/// "x.mlp.experts.wi.weight" -> "x.mlp.wi.weight"; other names are the same in both models.
std::string dense_name(const std::string& name) {
  constexpr std::string_view kExperts = ".experts";
  const size_t at = name.find(kExperts);
  if (at == std::string::npos) return name;
  return name.substr(0, at) + name.substr(at + kExperts.size());
}

bool is_router(const std::string& name) {
  return name.find(".router.classifier.") != std::string::npos;
}

/// The weights of each expert [E, ...] from those of the dense layer.
void fill_experts(Parameter& experts, const at::Tensor& dense, const UpcycleOptions& options) {
  at::Tensor value = experts.value().detach();
  const bool second = experts.name().ends_with(".wo.weight");
  const at::Tensor scaled = second ? dense * options.output_scale : dense;
  value.copy_(scaled.unsqueeze(0).expand_as(value));
  if (options.noise == 0) return;
  const double rms = std::sqrt(scaled.to(at::kDouble).square().mean().item<double>());
  const RandomStream stream(options.seed, kRandomInit, hash64(experts.name() + ", noise"));
  float* out = value.mutable_data_ptr<float>();
  for (int64_t i = 0; i < value.numel(); ++i) {
    out[i] += static_cast<float>(options.noise * rms * stream.normal(static_cast<uint64_t>(i)));
  }
}

at::Tensor random_ids(int64_t rows, int64_t columns, int64_t vocab_size, uint64_t seed) {
  constexpr int64_t kFirst = 3;  // behind padding, EOS and unknown
  const RandomStream stream(seed, kRandomSample, static_cast<uint64_t>(columns));
  const auto range = static_cast<uint64_t>(std::max<int64_t>(1, vocab_size - kFirst));
  const at::Tensor ids = at::empty({rows, columns}, at::kLong);
  for (int64_t i = 0; i < ids.numel(); ++i) {
    const auto drawn = static_cast<int64_t>(stream.below(static_cast<uint64_t>(i), range));
    ids.mutable_data_ptr<int64_t>()[i] = std::min(vocab_size - 1, kFirst + drawn);
  }
  return ids;
}

double nlp_of(EncoderDecoder& model, const Batch& batch) {
  return -model.forward(batch, ForwardOptions{}).cross_entropy.mean();
}

at::Tensor logits_of(EncoderDecoder& model, const Batch& batch) {
  const ForwardOptions options;
  return model.logits(model.decode(batch, model.encode(batch, options), options));
}

void check_options(const std::string& path, const ModelDescription& dense,
                   const UpcycleOptions& options) {
  if (dense.config.moe.num_experts > 0) {
    throw usage_error("the model has experts already", path, "name a dense model");
  }
  if (options.moe.num_experts < 1) {
    throw usage_error("no experts asked for", "--num-experts", "give 1 or more");
  }
  if (options.moe.attention_experts != "none") {
    throw usage_error("a dense model's attention has no experts to copy",
                      "model.moe.attention_experts", "leave it at none");
  }
}

}  // namespace

void upcycle_weights(EncoderDecoder& dense, EncoderDecoder& sparse, const UpcycleOptions& options) {
  sparse.parameters().initialize(options.seed);
  for (Parameter& parameter : sparse.parameters().all()) {
    if (is_router(parameter.name())) continue;
    const std::string name = dense_name(parameter.name());
    const Parameter* from = dense.parameters().find(name);
    TORCH_CHECK(from != nullptr, "the dense model has no ", name);
    if (name == parameter.name()) {
      parameter.value().detach().copy_(from->value());
    } else {
      fill_experts(parameter, from->value().detach(), options);
    }
  }
  sparse.parameters().refresh_compute();
}

UpcycleDifference measure_difference(EncoderDecoder& dense, EncoderDecoder& sparse, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  const int64_t vocabulary = dense.config().vocab_size;
  const Batch batch = make_batch(random_ids(kProbeSequences, kProbeInputs, vocabulary, seed),
                                 random_ids(kProbeSequences, kProbeTargets, vocabulary, seed));
  UpcycleDifference difference;
  difference.logits =
      (logits_of(dense, batch) - logits_of(sparse, batch)).abs().max().item<double>();
  difference.dense_nlp = nlp_of(dense, batch);
  difference.sparse_nlp = nlp_of(sparse, batch);
  return difference;
}

UpcycleResult upcycle_model(const std::string& dense, const std::string& output,
                            const UpcycleOptions& options) {
  const ModelDescription description = read_model_description(dense);
  check_options(dense, description, options);
  ModelConfig config = description.config;
  config.moe = options.moe;
  config.validate(output);
  NewDirectory directory(output);
  const auto from = load_model(dense, Precision::kFloat32);
  EncoderDecoder to(config, Precision::kFloat32);
  upcycle_weights(*from, to, options);
  SaveOptions saving;
  saving.dtype = description.dtype;
  save_model(directory.temporary(), to, saving);
  copy_companions(dense, directory.temporary());
  UpcycleResult result;
  result.parameters_before = from->parameters().numel();
  result.parameters_after = to.parameters().numel();
  result.difference = measure_difference(*from, to, options.seed);
  directory.commit();
  return result;
}

}  // namespace switchyard
