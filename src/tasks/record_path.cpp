#include "tasks/record_path.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {

RecordPath::RecordPath(std::string_view text, const std::string& where) : text_(text) {
  for (; text.starts_with("../"); text.remove_prefix(3)) ++up_;
  while (true) {
    const size_t dot = text.find('.');
    std::string_view name = text.substr(0, dot);
    const bool each = name.ends_with("[]");
    if (each) name.remove_suffix(2);
    if (name.empty()) {
      throw usage_error(format("the path '{}' has an empty key", text_), where,
                        "write keys with dots between them: question.choices[].text");
    }
    keys_.push_back({std::string(name), each});
    if (dot == text.npos) break;
    text.remove_prefix(dot + 1);
  }
}

std::optional<nlohmann::json> RecordPath::find_in(const nlohmann::json& value, size_t key) const {
  if (key == keys_.size()) return value;
  if (!value.is_object()) return std::nullopt;
  const auto found = value.find(keys_[key].name);
  if (found == value.end()) return std::nullopt;
  if (!keys_[key].each) return find_in(*found, key + 1);
  if (!found->is_array()) return std::nullopt;
  nlohmann::json all = nlohmann::json::array();
  for (const auto& element : *found) {
    auto inner = find_in(element, key + 1);
    if (!inner) return std::nullopt;
    all.push_back(std::move(*inner));
  }
  return all;
}

std::optional<nlohmann::json> RecordPath::find(const Scopes& scopes) const {
  for (size_t i = scopes.size() - std::min(up_, scopes.size()); i-- > 0;) {
    if (auto found = find_in(*scopes[i], 0)) return found;
  }
  return std::nullopt;
}

std::vector<Scopes> RecordPath::places(const Scopes& scopes) const {
  struct Place {
    Scopes scopes;
    const nlohmann::json* value;
  };
  std::vector<Place> at = {{scopes, scopes.back()}};
  for (const Key& key : keys_) {
    std::vector<Place> next;
    for (const Place& place : at) {
      if (!place.value->is_object()) continue;
      const auto found = place.value->find(key.name);
      if (found == place.value->end()) continue;
      if (!key.each) {
        next.push_back({place.scopes, &*found});
      } else if (found->is_array()) {
        for (const auto& element : *found) {
          next.push_back({place.scopes, &element});
          next.back().scopes.push_back(&element);
        }
      }
    }
    at = std::move(next);
  }
  std::vector<Scopes> all;
  for (Place& place : at) {
    if (place.scopes.back() != place.value) place.scopes.push_back(place.value);
    all.push_back(std::move(place.scopes));
  }
  return all;
}

}  // namespace switchyard
