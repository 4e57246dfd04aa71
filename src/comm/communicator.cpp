#include "comm/communicator.h"

#include <algorithm>

namespace switchyard {

int64_t element_size(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return 4;
    case ElementType::kFloat64:
    case ElementType::kInt64:
      return 8;
    case ElementType::kBfloat16:
      return 2;
    case ElementType::kByte:
      return 1;
  }
  return 0;
}

void Communicator::sum(std::vector<double>& values) {
  all_reduce(values.data(), static_cast<int64_t>(values.size()), ElementType::kFloat64);
}

int64_t Communicator::maximum(int64_t value) {
  std::vector<int64_t> all(static_cast<size_t>(size()));
  all_gather(&value, all.data(), 1, ElementType::kInt64);
  return *std::max_element(all.begin(), all.end());
}

std::vector<int64_t> Communicator::all_to_all_counts(std::span<const int64_t> send_counts) {
  const std::vector<int64_t> one(send_counts.size(), 1);
  std::vector<int64_t> received(send_counts.size());
  all_to_all(send_counts.data(), one, received.data(), one, sizeof(int64_t));
  return received;
}

std::string Communicator::broadcast_text(const std::string& text, int root) {
  auto length = static_cast<int64_t>(text.size());
  broadcast(&length, 1, ElementType::kInt64, root);
  std::string result = text;
  result.resize(static_cast<size_t>(length));
  broadcast(result.data(), length, ElementType::kByte, root);
  return result;
}

}  // namespace switchyard
