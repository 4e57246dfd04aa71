#include "data/example_rows.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/random.h"

namespace switchyard {
namespace {

constexpr size_t kKeptPlans = 4;  // batches that threads make ahead may lie in two epochs each

}  // namespace

ExampleRows::ExampleRows(ExampleIds examples, const SequenceLengths& room, bool pack, uint64_t seed)
    : examples_(std::move(examples)), room_(room), pack_(pack), seed_(seed) {
  for (size_t i = 0; i < examples_.size(); ++i) lengths_.push_back(examples_.lengths(i));
  if (!pack_) return;
  const std::lock_guard lock(mutex_);
  examples_per_row_ = static_cast<double>(examples_.size()) / static_cast<double>(plan(0)->size());
}

std::vector<uint32_t> ExampleRows::order(uint64_t epoch) const {
  const uint64_t size = examples_.size();
  std::vector<uint32_t> order(size);
  for (uint64_t i = 0; i < size; ++i) {
    order[i] = static_cast<uint32_t>(permute_index(i, size, seed_, epoch));
  }
  return order;
}

std::shared_ptr<const PackedRows> ExampleRows::plan(uint64_t epoch) const {
  auto& plan = plans_[epoch];
  if (!plan) {
    plan = std::make_shared<const PackedRows>(pack_examples(lengths_, order(epoch), room_));
  }
  const auto result = plan;
  while (plans_.size() > kKeptPlans) {  // the one furthest from here
    const bool first = epoch - plans_.begin()->first > plans_.rbegin()->first - epoch;
    plans_.erase(first ? plans_.begin() : std::prev(plans_.end()));
  }
  return result;
}

uint64_t ExampleRows::find_epoch(uint64_t& number) const {
  while (epoch_ends_.empty() || epoch_ends_.back() <= number) {
    const uint64_t before = epoch_ends_.empty() ? 0 : epoch_ends_.back();
    epoch_ends_.push_back(before + plan(epoch_ends_.size())->size());
  }
  const auto end = std::upper_bound(epoch_ends_.begin(), epoch_ends_.end(), number);
  if (end != epoch_ends_.begin()) number -= *std::prev(end);
  return static_cast<uint64_t>(end - epoch_ends_.begin());
}

std::vector<uint32_t> ExampleRows::row(uint64_t number) const {
  if (!pack_) {
    const uint64_t size = examples_.size();
    return {static_cast<uint32_t>(permute_index(number % size, size, seed_, number / size))};
  }
  const std::lock_guard lock(mutex_);
  const uint64_t epoch = find_epoch(number);
  const auto rows = plan(epoch);
  const auto row = rows->row(number);
  return {row.begin(), row.end()};
}

}  // namespace switchyard
