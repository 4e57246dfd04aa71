// Rows on their way to the ranks that hold their experts, and back: who sends how many to whom, in
// chunks of experts, so that one chunk travels while another is computed. L: experts of a rank,
// n: ranks along `expert`, R: rows here before the exchange.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "comm/communicator.h"
#include "ops/layer_products.h"
#include "ops/routing_plan.h"

namespace switchyard {

/// The rows of some of the experts of every rank. Rows to be sent lie by rank and expert; those
/// that have come lie by the rank they are from, then by expert.
struct ExchangeChunk {
  std::vector<int64_t> send, receive;           // rows, by rank
  int64_t send_begin = 0;                       // row in the order of sending
  int64_t receive_begin = 0, num_received = 0;  // rows of all chunks' received
  at::Tensor order;         // [num_received] int64: which received row comes where, by expert
  ops::RowOffsets offsets;  // [L + 1] of rows so ordered; experts of other chunks have none
};

class ExpertExchange {
 public:
  /// Rows of `plan`; rank r has the L experts from r * L on. At most `chunks` chunks. All ranks
  /// make it together: they tell each other their counts.
  ExpertExchange(const RoutingPlan& plan, Communicator& ranks, int64_t chunks);

  const std::vector<ExchangeChunk>& chunks() const { return chunks_; }
  /// [R] int64: the plan's row that is sent at each place.
  const at::Tensor& send_order() const { return send_order_; }
  int64_t num_received() const { return num_received_; }

  /// To the experts: rows [R, D] in the order of sending -> `received` [num_received(), D].
  Pending start(const ExchangeChunk& chunk, const at::Tensor& rows,
                const at::Tensor& received) const;
  /// Back: `results` [num_received(), O] in the order in which rows came -> `rows` [R, O].
  Pending start_back(const ExchangeChunk& chunk, const at::Tensor& results,
                     const at::Tensor& rows) const;

 private:
  Communicator* ranks_;
  std::vector<ExchangeChunk> chunks_;
  at::Tensor send_order_;
  int64_t num_received_ = 0;
};

}  // namespace switchyard
