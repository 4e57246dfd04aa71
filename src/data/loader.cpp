#include "data/loader.h"

#include <algorithm>
#include <utility>

namespace switchyard {

Loader::Loader(const SequenceStream& stream, const LoaderOptions& options)
    : stream_(stream), options_(options), step_(options.first_step) {
  options_.threads = std::max<int64_t>(1, options.threads);
  if (options_.num_rows == 0) options_.num_rows = options_.batch_sequences - options_.first_row;
  for (int64_t t = 0; t < options_.threads; ++t) {
    queues_.push_back(std::make_unique<Queue>(static_cast<size_t>(options_.batches_ahead)));
  }
  for (int64_t t = 0; t < options_.threads; ++t) {
    threads_.emplace_back([this, t] {
      produce(options_.first_step + static_cast<uint64_t>(t), *queues_[static_cast<size_t>(t)]);
    });
  }
}

Loader::~Loader() {
  for (const auto& queue : queues_) queue->close();
  for (std::thread& thread : threads_) thread.join();
}

void Loader::produce(uint64_t first_step, Queue& queue) const {
  for (uint64_t step = first_step;; step += static_cast<uint64_t>(options_.threads)) {
    Item item;
    try {
      const uint64_t first =
          options_.skipped.nth(step) * static_cast<uint64_t>(options_.batch_sequences) +
          static_cast<uint64_t>(options_.first_row);
      item.batch = stream_.batch(first, options_.num_rows);
    } catch (...) {
      item.error = std::current_exception();
    }
    if (!queue.push(std::move(item))) return;
  }
}

TokenBatch Loader::next() {
  const uint64_t turn = (step_ - options_.first_step) % static_cast<uint64_t>(options_.threads);
  Item item = *queues_[turn]->pop();
  if (item.error) std::rethrow_exception(item.error);
  ++step_;
  return std::move(item.batch);
}

}  // namespace switchyard
