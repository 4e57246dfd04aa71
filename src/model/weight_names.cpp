#include "model/weight_names.h"

#include "base/format.h"

namespace switchyard {
namespace {

constexpr std::string_view kExperts = ".experts.";
constexpr std::string_view kFeedForward = ".mlp.";

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

void add_part(std::vector<WeightPart>& parts, const std::string& name, const TensorSlice& slice) {
  const int64_t begin = parts.empty() ? 0 : parts.back().begin + parts.back().numel;
  parts.push_back({name, slice.whole_shape(), slice, begin, slice.numel()});
}

/// `slice`: of the matrix.
void add_matrix(std::vector<WeightPart>& parts, const std::string& name, const TensorSlice& slice,
                bool gated) {
  const Halves* halves = halves_of(name, gated);
  if (!halves) return add_part(parts, name, slice);
  const TensorSlice half = slice.half(0);
  add_part(parts, replaced(name, halves->whole, halves->upper), half);
  add_part(parts, replaced(name, halves->whole, halves->lower), half);
}

bool is_stack_name(const std::string& name) { return name.find(kExperts) != std::string::npos; }

std::string name_of_expert(const std::string& stack, int64_t expert) {
  return replaced(stack, kExperts, format("{}expert_{}.", kExperts, expert));
}

}  // namespace

std::vector<WeightPart> weight_parts(const Parameter& parameter, bool gated, bool t5_names) {
  const TensorSlice& slice = parameter.slice();
  const std::string& name = parameter.name();
  std::vector<WeightPart> parts;
  if (is_stack_name(name)) {
    for (int64_t e = 0; e < slice.shape().front(); ++e) {
      add_matrix(parts, name_of_expert(name, slice.begin(0) + e), slice.without(0), gated);
    }
  } else if (t5_names && name.find(kFeedForward) != std::string::npos) {
    add_matrix(parts, replaced(name, kFeedForward, ".DenseReluDense."), slice, gated);
  } else {
    add_matrix(parts, name, slice, gated);
  }
  return parts;
}

std::vector<std::string> weights_elsewhere(const Parameter& parameter, bool gated) {
  const TensorSlice& slice = parameter.slice();
  if (!is_stack_name(parameter.name())) return {};
  std::vector<WeightPart> parts;
  const int64_t begin = slice.begin(0), end = begin + slice.shape().front();
  for (int64_t e = 0; e < slice.whole_shape().front(); ++e) {
    if (e >= begin && e < end) continue;
    add_matrix(parts, name_of_expert(parameter.name(), e), slice.without(0), gated);
  }
  std::vector<std::string> names;
  for (WeightPart& part : parts) names.push_back(std::move(part.name));
  return names;
}

std::vector<std::string> weight_aliases(const std::string& name, const ModelConfig& config) {
  if (name != "shared.weight") return {};
  std::vector<std::string> aliases = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};
  if (config.tie_embeddings) aliases.push_back("lm_head.weight");
  return aliases;
}

}  // namespace switchyard
