#include "train/health/places.h"

#include <string_view>
#include <vector>

#include "base/format.h"

namespace switchyard {
namespace {

std::vector<std::string> words_of(const std::string& name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    if (c == '.') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

bool holds(const std::string& name, std::string_view part) {
  return name.find(part) != std::string::npos;
}

// What of a block it is.
std::string part_of(const std::string& name) {
  if (holds(name, ".layer_norm.")) return "norm";
  const std::string module = holds(name, ".SelfAttention.")     ? "self-attention"
                             : holds(name, ".EncDecAttention.") ? "cross-attention"
                                                                : "feed-forward";
  return module + (holds(name, ".router.") ? ", router" : "");
}

bool in_block(const std::vector<std::string>& words) {
  return words.size() > 2 && words[1] == "block";
}

}  // namespace

std::string describe_parameter(const std::string& name, int64_t matrix) {
  const std::vector<std::string> words = words_of(name);
  if (in_block(words)) {
    std::string text = format("{} block {}, {}", words[0], words[2], part_of(name));
    if (matrix >= 0 && holds(name, ".experts.")) text += format(", expert {}", matrix);
    return text;
  }
  if (holds(name, "final_layer_norm")) return words[0] + ", final norm";
  if (words[0] == "shared") return "embedding";
  return words[0] == "lm_head" ? "output layer" : name;
}

std::string describe_routed_layer(const std::string& layer) {
  const std::vector<std::string> words = words_of(layer);
  if (words.size() < 2) return layer;
  return format("{} block {}, {}", words[0], words[1],
                words.size() > 2 ? "self-attention" : "feed-forward");
}

std::string block_of_parameter(const std::string& name) {
  const std::vector<std::string> words = words_of(name);
  if (in_block(words)) return words[0] + "." + words[2];
  if (holds(name, "final_layer_norm")) return words[0] + ".final_norm";
  if (words[0] == "shared") return "embedding";
  return words[0] == "lm_head" ? "output" : words[0];
}

}  // namespace switchyard
