#include "infer/fill_sentinels.h"

#include <map>

namespace switchyard {

std::vector<int32_t> fill_sentinels(const std::vector<int32_t>& input,
                                    const std::vector<int32_t>& output, int32_t first_sentinel) {
  std::map<int32_t, std::vector<int32_t>> spans;
  int32_t open = -1;
  for (const int32_t id : output) {
    if (id >= first_sentinel) {
      open = id;
      spans.try_emplace(id);
    } else if (open >= 0) {
      spans[open].push_back(id);
    }
  }
  std::vector<int32_t> filled;
  for (const int32_t id : input) {
    const auto span = spans.find(id);
    if (span == spans.end()) {
      filled.push_back(id);
    } else {
      filled.insert(filled.end(), span->second.begin(), span->second.end());
    }
  }
  return filled;
}

}  // namespace switchyard
