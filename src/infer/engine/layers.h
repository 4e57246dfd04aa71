// The parts of a block over rows that lie one below the other, whatever sequences they belong to.
// Scratch memory is kept, so that a step of decoding allocates nothing once it has been that large.
// W: type of the weights, float, Bf16 or int8_t; T: of activations (products.h). N: rows, D:
// d_model, I: heads * d_kv.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "infer/engine/engine_options.h"
#include "infer/engine/expert_choice.h"
#include "infer/engine/expert_memory.h"
#include "infer/engine/products.h"
#include "infer/engine/routing_trace.h"
#include "infer/engine/weights.h"
#include "kernels/cache_attention.h"

namespace switchyard {

/// The rows of a pass.
struct RowSet {
  std::span<const int64_t> ids;           // [N]
  std::span<const TokenRange> sequences;  // of an encoder; a decoder's rows are one each: empty
  int64_t count() const { return static_cast<int64_t>(ids.size()); }
};

/// Where this pass stores keys and values, and what each row sees of them.
struct SelfCache {
  kernels::PageLayout layout;
  std::byte* const* pages;   // [N] page of the row's own position
  const int64_t* positions;  // [N] its place there
  const kernels::AttendingRow* rows;
  int64_t bias_stride;
};

template <class W>
class Layers {
 public:
  using T = ActivationOf<W>;
  Layers(const InferenceWeights& weights, const EngineOptions& options);

  /// Sets the residual stream to the embeddings of the ids.
  void embed(const RowSet& rows);
  void self_attention(const BlockWeights& block, const RowSet& rows, const SelfCache& cache,
                      std::vector<int64_t>* use);
  void cross_attention(const BlockWeights& block, const RowSet& rows, kernels::PageLayout layout,
                       const kernels::AttendingRow* attending);
  /// `use`: counts the tokens of each expert; null for a dense block.
  void feed_forward(const BlockWeights& block, const RowSet& rows, std::vector<int64_t>* use);
  /// From now on what routed layers choose is appended to `trace` as that of `layer`; null: to
  /// nothing.
  void trace_to(std::vector<TracedChoice>* trace, int32_t layer) {
    trace_ = trace;
    traced_layer_ = layer;
  }
  /// The norm of the residual stream [N, D], valid until the next call.
  const T* normed(const std::vector<float>& scale, int64_t rows);
  /// x [rows, width] for products, valid until the next call.
  ProductRows<W> readable(const T* x, int64_t rows, int64_t width);
  /// Null without a bound.
  const ExpertMemory* expert_memory() const { return memory_ ? &*memory_ : nullptr; }

 private:
  struct ExpertGroup {
    int64_t expert, begin, end;
  };
  void project(const BlockWeights& block, const RowSet& rows, std::vector<int64_t>* use);
  void dense(const FeedForwardWeights& weights, const T* x, int64_t rows);
  void routed(const RoutedWeights& weights, const T* x, const RowSet& rows, float* y,
              int64_t y_stride, std::vector<int64_t>* use);
  void run_experts(const RoutedWeights& weights, float* y, int64_t y_stride);
  void run_groups(const RoutedWeights& weights, std::span<const ExpertGroup> groups, float* y,
                  int64_t y_stride);
  void group_choices(const T* x, std::vector<int64_t>* use);
  void trace_choices();
  /// Adds the products that make `hidden` [rows, F] of x; GEGLU's land in pre_ from `row` on.
  void add_hidden(const FeedForwardWeights& weights, const ProductRows<W>& x, int64_t row,
                  int64_t rows);
  void multiply();

  const InferenceWeights& weights_;
  const ModelConfig& config_;
  std::optional<ExpertChooser> chooser_;
  std::optional<ExpertMemory> memory_;
  std::vector<float> residual_;   // [N, D]
  std::vector<T> normed_;         // [N, D]
  std::vector<float> projected_;  // [N, 3 I]: query, key, value
  std::vector<T> context_;        // [N, I]
  std::vector<T> hidden_;         // [rows, F]
  std::vector<float> pre_;        // [rows, 2 F]
  std::vector<float> router_input_, router_logits_;
  std::vector<Choice> choices_;
  std::vector<TracedChoice>* trace_ = nullptr;
  int32_t traced_layer_ = 0;
  std::vector<ExpertGroup> groups_;
  std::vector<int64_t> next_row_, group_experts_;
  std::vector<T> gathered_;              // [choices, D]
  std::vector<float> factors_;           // [choices]
  std::vector<int64_t> places_;          // [choices]
  std::vector<int8_t> quantized_;        // [rows, width], of what products read last
  std::vector<float> quantized_scales_;  // [rows]
  std::vector<ProductOf<W>> products_;
};

}  // namespace switchyard
