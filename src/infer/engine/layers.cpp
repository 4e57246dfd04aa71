#include "infer/engine/layers.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/decode_rows.h"

namespace switchyard {
namespace {

using kernels::Bf16;
using kernels::FewRowFinish;
using kernels::FewRowProduct;

/// At least `count` elements; what was there may be lost.
template <class V>
void make_room(V& buffer, int64_t count) {
  if (static_cast<int64_t>(buffer.size()) < count) buffer.resize(static_cast<size_t>(count));
}

}  // namespace

template <class W>
Layers<W>::Layers(const InferenceWeights& weights, const EngineOptions& options)
    : weights_(weights), config_(weights.config) {
  if (options.expert_memory > 0) memory_.emplace(weights, options.expert_memory);
  if (config_.moe.num_experts > 0) chooser_.emplace(config_, weights.type != WeightType::kFloat32);
}

template <class W>
ProductRows<W> Layers<W>::readable(const T* x, int64_t rows, int64_t width) {
  if constexpr (std::is_same_v<W, int8_t>) {
    make_room(quantized_, rows * width);
    make_room(quantized_scales_, rows);
    kernels::quantize_rows(
        kernels::QuantizeRows<T>{x, rows, width, quantized_.data(), quantized_scales_.data()});
    return {quantized_.data(), quantized_scales_.data(), width};
  } else {
    return {x, nullptr, width};
  }
}

template <class W>
void Layers<W>::multiply() {
  kernels::few_row_products(products_.data(), static_cast<int64_t>(products_.size()));
  products_.clear();
}

template <class W>
void Layers<W>::embed(const RowSet& rows) {
  const int64_t width = config_.d_model;
  make_room(residual_, rows.count() * width);
  const W* table = static_cast<const W*>(weights_.embedding.data);
  for (int64_t r = 0; r < rows.count(); ++r) {
    const int64_t id = rows.ids[static_cast<size_t>(r)];
    const W* from = table + id * width;
    float* to = residual_.data() + r * width;
    if constexpr (std::is_same_v<W, int8_t>) {
      const float scale = weights_.embedding.scales[id];
      for (int64_t i = 0; i < width; ++i) to[i] = scale * static_cast<float>(from[i]);
    } else {
      for (int64_t i = 0; i < width; ++i) to[i] = kernels::to_float(from[i]);
    }
  }
}

template <class W>
auto Layers<W>::normed(const std::vector<float>& scale, int64_t rows) -> const T* {
  make_room(normed_, rows * config_.d_model);
  kernels::norm_rows(kernels::NormRows<T>{residual_.data(), scale.data(), rows, config_.d_model,
                                          static_cast<float>(config_.norm_epsilon),
                                          normed_.data()});
  return normed_.data();
}

/// Query, key and value of the norm.
template <class W>
void Layers<W>::project(const BlockWeights& block, const RowSet& rows, std::vector<int64_t>* use) {
  const int64_t inner = config_.inner_size(), count = rows.count();
  const T* x = normed(block.self_norm, count);
  make_room(projected_, count * 3 * inner);
  float* query = projected_.data();
  if (!block.attention_experts) {
    const ProductRows<W> input = readable(x, count, config_.d_model);
    products_ = {make_product(block.self.q, input, count, query, 3 * inner),
                 make_product(block.self.k, input, count, query + inner, 3 * inner),
                 make_product(block.self.v, input, count, query + 2 * inner, 3 * inner)};
    multiply();
    return;
  }
  // A token without a place has query, key and value 0. Keys are values (attention_experts.h).
  std::fill_n(query, count * 3 * inner, 0.0f);
  routed(*block.attention_experts, x, rows, query, 3 * inner, use);
  const float scale = 1.0f / std::sqrt(static_cast<float>(config_.d_kv));
  for (int64_t r = 0; r < count; ++r) {
    float* row = query + r * 3 * inner;
    for (int64_t i = 0; i < inner; ++i) row[i] *= scale;
    std::copy_n(row + inner, inner, row + 2 * inner);
  }
}

template <class W>
void Layers<W>::self_attention(const BlockWeights& block, const RowSet& rows,
                               const SelfCache& cache, std::vector<int64_t>* use) {
  const int64_t inner = config_.inner_size(), count = rows.count();
  project(block, rows, use);
  const float* query = projected_.data();
  kernels::cache_store(kernels::CacheStore<T>{cache.layout, count, cache.pages, cache.positions,
                                              query + inner, query + 2 * inner, 3 * inner});
  make_room(context_, count * inner);
  kernels::cache_attention(kernels::CacheAttention<T>{
      cache.layout, count, cache.rows, query, 3 * inner, cache.bias_stride, context_.data()});
  products_ = {make_product(block.self.o, readable(context_.data(), count, inner), count,
                            residual_.data(), config_.d_model)};
  products_[0].finish = FewRowFinish::kAdd;
  multiply();
}

template <class W>
void Layers<W>::cross_attention(const BlockWeights& block, const RowSet& rows,
                                kernels::PageLayout layout,
                                const kernels::AttendingRow* attending) {
  const int64_t inner = config_.inner_size(), count = rows.count();
  const T* x = normed(block.cross_norm, count);
  make_room(projected_, count * inner);
  products_ = {make_product(block.cross.q, readable(x, count, config_.d_model), count,
                            projected_.data(), inner)};
  multiply();
  make_room(context_, count * inner);
  kernels::cache_attention(kernels::CacheAttention<T>{layout, count, attending, projected_.data(),
                                                      inner, 0, context_.data()});
  products_ = {make_product(block.cross.o, readable(context_.data(), count, inner), count,
                            residual_.data(), config_.d_model)};
  products_[0].finish = FewRowFinish::kAdd;
  multiply();
}

template <class W>
void Layers<W>::feed_forward(const BlockWeights& block, const RowSet& rows,
                             std::vector<int64_t>* use) {
  const T* x = normed(block.feed_forward_norm, rows.count());
  if (block.routed) {
    routed(*block.routed, x, rows, residual_.data(), config_.d_model, use);
  } else {
    dense(block.dense, x, rows.count());
  }
}

template <class W>
void Layers<W>::add_hidden(const FeedForwardWeights& weights, const ProductRows<W>& x, int64_t row,
                           int64_t rows) {
  const int64_t width = weights.wi.outputs;
  if (!weights.linear) {
    products_.push_back(make_product(weights.wi, x, rows, nullptr, width));
    products_.back().finish = FewRowFinish::kRelu;
    products_.back().narrow = hidden_.data() + row * width;
    return;
  }
  float* gate = pre_.data() + row * 2 * width;
  products_.push_back(make_product(weights.wi, x, rows, gate, 2 * width));
  products_.push_back(make_product(weights.linear, x, rows, gate + width, 2 * width));
}

template <class W>
void Layers<W>::dense(const FeedForwardWeights& weights, const T* x, int64_t rows) {
  const int64_t width = weights.wi.outputs;
  make_room(hidden_, rows * width);
  if (weights.linear) make_room(pre_, rows * 2 * width);
  add_hidden(weights, readable(x, rows, config_.d_model), 0, rows);
  multiply();
  if (weights.linear) {
    kernels::geglu_rows(kernels::GegluRows<T>{pre_.data(), rows, width, hidden_.data()});
  }
  products_ = {make_product(weights.last[0], readable(hidden_.data(), rows, width), rows,
                            residual_.data(), config_.d_model)};
  products_[0].finish = FewRowFinish::kAdd;
  multiply();
}

template <class W>
void Layers<W>::routed(const RoutedWeights& weights, const T* x, const RowSet& rows, float* y,
                       int64_t y_stride, std::vector<int64_t>* use) {
  const int64_t width = config_.d_model, experts = config_.moe.num_experts, count = rows.count();
  const float* logits = nullptr;
  if (!weights.router.empty()) {
    make_room(router_logits_, count * experts);
    const float* input;
    if constexpr (std::is_same_v<T, float>) {
      input = x;
    } else {
      make_room(router_input_, count * width);
      for (int64_t i = 0; i < count * width; ++i) {
        router_input_[static_cast<size_t>(i)] = kernels::to_float(x[i]);
      }
      input = router_input_.data();
    }
    const FewRowProduct<float> own = {weights.router.data(),
                                      experts,
                                      width,
                                      input,
                                      count,
                                      FewRowFinish::kStore,
                                      nullptr,
                                      nullptr,
                                      router_logits_.data(),
                                      nullptr,
                                      experts};
    kernels::few_row_products(&own, 1);
    logits = router_logits_.data();
  }
  // One choice at a time, so that no two experts add to the same row at once.
  for (int64_t k = 0; k < chooser_->num_choices(); ++k) {
    chooser_->choose(logits, rows.ids, rows.sequences, k, choices_);
    if (trace_) trace_choices();
    group_choices(x, use);
    run_experts(weights, y, y_stride);
  }
}

template <class T>
void Layers<T>::trace_choices() {
  for (const Choice& choice : choices_) trace_->push_back({traced_layer_, choice, false});
  for (const Choice& choice : chooser_->dropped()) trace_->push_back({traced_layer_, choice, true});
}

/// Sorts choices_ by expert and gathers their rows of x.
template <class W>
void Layers<W>::group_choices(const T* x, std::vector<int64_t>* use) {
  const int64_t width = config_.d_model;
  const auto experts = static_cast<size_t>(config_.moe.num_experts);
  next_row_.assign(experts, 0);
  for (const Choice& choice : choices_) ++next_row_[static_cast<size_t>(choice.expert)];
  groups_.clear();
  int64_t row = 0;
  for (size_t e = 0; e < experts; ++e) {
    const int64_t count = next_row_[e];
    next_row_[e] = row;
    if (count == 0) continue;
    if (use) (*use)[e] += count;
    groups_.push_back({static_cast<int64_t>(e), row, row + count});
    row += count;
  }
  make_room(gathered_, row * width);
  make_room(factors_, row);
  make_room(places_, row);
  for (const Choice& choice : choices_) {
    const int64_t to = next_row_[static_cast<size_t>(choice.expert)]++;
    std::copy_n(x + choice.token * width, width, gathered_.data() + to * width);
    factors_[static_cast<size_t>(to)] = choice.gate;
    places_[static_cast<size_t>(to)] = choice.token;
  }
}

/// All groups at once, or, where memory is bounded, as many as fit into it.
template <class W>
void Layers<W>::run_experts(const RoutedWeights& weights, float* y, int64_t y_stride) {
  if (!memory_) {
    run_groups(weights, groups_, y, y_stride);
    return;
  }
  group_experts_.clear();
  for (const ExpertGroup& group : groups_) group_experts_.push_back(group.expert);
  const std::span<const ExpertGroup> groups(groups_);
  const std::span<const int64_t> experts(group_experts_);
  for (size_t done = 0; done < groups.size();) {
    const size_t count = memory_->admit(weights, experts.subspan(done));
    run_groups(weights, groups.subspan(done, count), y, y_stride);
    done += count;
  }
}

template <class W>
void Layers<W>::run_groups(const RoutedWeights& weights, std::span<const ExpertGroup> groups,
                           float* y, int64_t y_stride) {
  if (groups.empty()) return;
  const int64_t begin = groups.front().begin, rows = groups.back().end - begin;
  const int64_t width = config_.d_model;
  const FeedForwardWeights& first = weights.experts.front();
  ProductRows<W> input = readable(gathered_.data() + begin * width, rows, width);
  products_.clear();
  if (first.wi) {
    const int64_t hidden = first.wi.outputs;
    make_room(hidden_, rows * hidden);
    if (first.linear) make_room(pre_, rows * 2 * hidden);
    for (const ExpertGroup& group : groups) {
      add_hidden(weights.experts[static_cast<size_t>(group.expert)],
                 input.from(group.begin - begin), group.begin - begin, group.end - group.begin);
    }
    multiply();
    if (first.linear) {
      kernels::geglu_rows(kernels::GegluRows<T>{pre_.data(), rows, hidden, hidden_.data()});
    }
    input = readable(hidden_.data(), rows, hidden);
  }
  for (const ExpertGroup& group : groups) {
    int64_t column = 0;
    for (const Matrix& last : weights.experts[static_cast<size_t>(group.expert)].last) {
      ProductOf<W> own = make_product(last, input.from(group.begin - begin),
                                      group.end - group.begin, y + column, y_stride);
      own.finish = FewRowFinish::kAdd;
      own.factors = factors_.data() + group.begin;
      own.places = places_.data() + group.begin;
      products_.push_back(own);
      column += last.outputs;
    }
  }
  multiply();
}

template class Layers<float>;
template class Layers<Bf16>;
template class Layers<int8_t>;

}  // namespace switchyard
