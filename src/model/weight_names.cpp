#include "model/weight_names.h"

#include <functional>
#include <numeric>

#include "base/format.h"

namespace switchyard {
namespace {

constexpr std::string_view kExperts = ".experts.";
constexpr std::string_view kFeedForward = ".mlp.";

int64_t product(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string replaced(const std::string& name, std::string_view from, const std::string& to) {
  std::string text = name;
  return text.replace(text.find(from), from.size(), to);
}

/// How a matrix that is stored as two is cut.
struct Halves {
  std::string_view whole;
  const char *upper, *lower;
};

/// Null for a matrix that is stored as it is.
const Halves* halves_of(const std::string& name, bool gated) {
  static constexpr Halves kGatedInput = {".wi.weight", ".wi_0.weight", ".wi_1.weight"};
  static constexpr Halves kAttentionExpert = {".qkv.weight", ".q.weight", ".kv.weight"};
  if (gated && name.ends_with(kGatedInput.whole)) return &kGatedInput;
  return name.ends_with(kAttentionExpert.whole) ? &kAttentionExpert : nullptr;
}

void add_matrix(std::vector<WeightPart>& parts, const std::string& name, std::vector<int64_t> shape,
                bool gated, int64_t begin) {
  const Halves* halves = halves_of(name, gated);
  if (!halves) {
    parts.push_back({name, shape, begin, product(shape)});
    return;
  }
  shape[0] /= 2;
  const int64_t half = product(shape);
  parts.push_back({replaced(name, halves->whole, halves->upper), shape, begin, half});
  parts.push_back({replaced(name, halves->whole, halves->lower), shape, begin + half, half});
}

}  // namespace

std::vector<WeightPart> weight_parts(const Parameter& parameter, bool gated, bool t5_names) {
  const std::vector<int64_t> shape = parameter.value().sizes().vec();
  const std::string& name = parameter.name();
  std::vector<WeightPart> parts;
  if (name.find(kExperts) != std::string::npos) {
    const std::vector<int64_t> matrix(shape.begin() + 1, shape.end());
    for (int64_t e = 0; e < shape[0]; ++e) {
      add_matrix(parts, replaced(name, kExperts, format("{}expert_{}.", kExperts, e)), matrix,
                 gated, e * product(matrix));
    }
  } else if (t5_names && name.find(kFeedForward) != std::string::npos) {
    add_matrix(parts, replaced(name, kFeedForward, ".DenseReluDense."), shape, gated, 0);
  } else {
    add_matrix(parts, name, shape, gated, 0);
  }
  return parts;
}

std::vector<std::string> weight_aliases(const std::string& name, const ModelConfig& config) {
  if (name != "shared.weight") return {};
  std::vector<std::string> aliases = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};
  if (config.tie_embeddings) aliases.push_back("lm_head.weight");
  return aliases;
}

}  // namespace switchyard
