#include "model/parallel/expert_exchange.h"

#include <algorithm>

namespace switchyard {
namespace {

/// Rows that each rank has for each expert here: [n][L].
std::vector<int64_t> exchange_counts(const RoutingPlan& plan, Communicator& ranks) {
  std::vector<int64_t> own(static_cast<size_t>(plan.num_experts));
  for (size_t e = 0; e < own.size(); ++e) own[e] = plan.offsets[e + 1] - plan.offsets[e];
  std::vector<int64_t> counts(own.size());
  const std::vector<int64_t> one(static_cast<size_t>(ranks.size()), 1);
  const int64_t bytes = plan.num_experts / ranks.size() * static_cast<int64_t>(sizeof(int64_t));
  ranks.all_to_all(own.data(), one, counts.data(), one, bytes);
  return counts;
}

/// Appends first, first + 1, ... first + count - 1.
void append_range(std::vector<int64_t>& to, int64_t first, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to.push_back(first + i);
}

at::Tensor to_tensor(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

char* row(const at::Tensor& rows, int64_t index) {
  return static_cast<char*>(rows.mutable_data_ptr()) +
         index * rows.size(1) * static_cast<int64_t>(rows.element_size());
}

int64_t row_bytes(const at::Tensor& rows) {
  return rows.size(1) * static_cast<int64_t>(rows.element_size());
}

}  // namespace

ExpertExchange::ExpertExchange(const RoutingPlan& plan, Communicator& ranks, int64_t chunks)
    : ranks_(&ranks) {
  const int64_t n = ranks.size(), experts = plan.num_experts / n;
  TORCH_CHECK(plan.num_experts % n == 0, n, " ranks do not share ", plan.num_experts, " experts");
  const std::vector<int64_t> counts = exchange_counts(plan, ranks);
  const auto count = [&](int64_t rank, int64_t expert) {
    return counts[static_cast<size_t>(rank * experts + expert)];
  };
  const auto offset = [&](int64_t expert) { return plan.offsets[static_cast<size_t>(expert)]; };
  std::vector<int64_t> send_order;
  const int64_t num_chunks = std::clamp<int64_t>(chunks, 1, experts);
  for (int64_t c = 0; c < num_chunks; ++c) {
    const int64_t first = c * experts / num_chunks, end = (c + 1) * experts / num_chunks;
    ExchangeChunk chunk;
    chunk.send_begin = static_cast<int64_t>(send_order.size());
    chunk.receive_begin = num_received_;
    std::vector<int64_t> begins;  // of the rows of each rank among those received
    for (int64_t rank = 0; rank < n; ++rank) {
      const int64_t begin = offset(rank * experts + first),
                    rows = offset(rank * experts + end) - begin;
      append_range(send_order, begin, rows);
      chunk.send.push_back(rows);
      begins.push_back(chunk.num_received);
      int64_t received = 0;
      for (int64_t e = first; e < end; ++e) received += count(rank, e);
      chunk.receive.push_back(received);
      chunk.num_received += received;
    }
    chunk.offsets.assign(static_cast<size_t>(experts) + 1, 0);
    std::vector<int64_t> order;
    order.reserve(static_cast<size_t>(chunk.num_received));
    for (int64_t e = 0; e < experts; ++e) {
      for (int64_t rank = 0; rank < n && e >= first && e < end; ++rank) {
        append_range(order, begins[static_cast<size_t>(rank)], count(rank, e));
        begins[static_cast<size_t>(rank)] += count(rank, e);
      }
      chunk.offsets[static_cast<size_t>(e) + 1] = static_cast<int64_t>(order.size());
    }
    chunk.order = to_tensor(order);
    num_received_ += chunk.num_received;
    chunks_.push_back(std::move(chunk));
  }
  send_order_ = to_tensor(send_order);
}

Pending ExpertExchange::start(const ExchangeChunk& chunk, const at::Tensor& rows,
                              const at::Tensor& received) const {
  return ranks_->start_all_to_all(row(rows, chunk.send_begin), chunk.send,
                                  row(received, chunk.receive_begin), chunk.receive,
                                  row_bytes(rows));
}

Pending ExpertExchange::start_back(const ExchangeChunk& chunk, const at::Tensor& results,
                                   const at::Tensor& rows) const {
  return ranks_->start_all_to_all(row(results, chunk.receive_begin), chunk.receive,
                                  row(rows, chunk.send_begin), chunk.send, row_bytes(rows));
}

}  // namespace switchyard
