#include "plan/parameter_shares.h"

#include <functional>
#include <numeric>

#include "model/encoder_decoder.h"

namespace switchyard {
namespace {

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}
bool ends_with_axis(const std::string& name, const char* suffix) {
  return name.ends_with(std::string(suffix) + ".weight");
}

/// The axis that `model` splits, counted from the end; 0: none.
size_t split_axis(const std::string& name) {
  if (contains(name, "router")) return 0;
  if (contains(name, "relative_attention_bias")) return 1;                    // [buckets, H]
  if (ends_with_axis(name, ".wi") || ends_with_axis(name, ".qkv")) return 2;  // outputs
  if (ends_with_axis(name, ".wo")) return 1;                                  // inputs
  if (!contains(name, "Attention.")) return 0;
  return ends_with_axis(name, ".o") ? 1 : 2;
}

}  // namespace

int64_t ParameterShape::count() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::vector<ParameterShape> parameter_shapes(const Recipe& recipe) {
  const EncoderDecoder model(recipe.model, parse_precision(recipe.train.precision), at::kMeta);
  std::vector<ParameterShape> shapes;
  for (const Parameter& parameter : model.parameters().all()) {
    shapes.push_back({parameter.name(), parameter.value().sizes().vec(), parameter.num_matrices(),
                      parameter.compute().scalar_type() != parameter.value().scalar_type()});
  }
  return shapes;
}

std::vector<ParameterShare> share_parameters(const std::vector<ParameterShape>& all,
                                             const MeshConfig& mesh) {
  std::vector<ParameterShare> shares;
  for (const ParameterShape& parameter : all) {
    ParameterShare share{parameter, contains(parameter.name, ".experts.")};
    std::vector<int64_t>& shape = share.local.shape;
    if (share.expert) {
      shape[0] /= mesh.expert;
      share.local.matrices /= mesh.expert;
    }
    if (const size_t axis = split_axis(parameter.name); axis > 0) {
      shape[shape.size() - axis] /= mesh.model;
    }
    shares.push_back(std::move(share));
  }
  return shares;
}

StateSize state_size(const OptimizerConfig& optimizer, const ParameterShape& parameter) {
  const auto count = static_cast<double>(parameter.count());
  StateSize size;
  if (optimizer.kind == "adamw") {
    size.full = size.moment = count;
    return size;
  }
  if (optimizer.momentum > 0) size.moment = count;
  const size_t dims = parameter.shape.size();
  const bool stacked = contains(parameter.name, ".experts.");
  const bool matrix = dims - (stacked ? 1 : 0) == 2 && dims >= 2;
  const int64_t least = optimizer.min_dim_factored;
  if (!matrix || parameter.shape[dims - 1] < least || parameter.shape[dims - 2] < least) {
    size.full = count;
    return size;
  }
  const auto rows = static_cast<double>(parameter.shape[dims - 2]);
  const auto columns = static_cast<double>(parameter.shape[dims - 1]);
  size.factored = count / columns + count / rows;
  return size;
}

}  // namespace switchyard
