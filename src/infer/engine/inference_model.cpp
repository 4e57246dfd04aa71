#include "infer/engine/inference_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/format.h"
#include "infer/engine/layers.h"
#include "infer/engine/position_bias.h"
#include "model/batch.h"
#include "model/moe/attention_experts.h"

namespace switchyard {
namespace {

using kernels::AttendingRow;
using kernels::kPagePositions;
using kernels::page_layout;
using kernels::pages_for;

constexpr int64_t kEncoderRows = 4096;  // rows of inputs that go through the encoder together

/// Counters of a stack's routed layers, by block.
struct UseOfBlock {
  std::vector<int64_t> attention, feed_forward;  // empty: not routed
};

std::vector<UseOfBlock> make_counters(const StackWeights& stack) {
  std::vector<UseOfBlock> counters(stack.blocks.size());
  for (size_t i = 0; i < counters.size(); ++i) {
    const BlockWeights& block = stack.blocks[i];
    if (block.attention_experts) {
      counters[i].attention.assign(block.attention_experts->experts.size(), 0);
    }
    if (block.routed) counters[i].feed_forward.assign(block.routed->experts.size(), 0);
  }
  return counters;
}

void list_counters(const std::string& stack, const std::vector<UseOfBlock>& counters,
                   std::vector<ExpertUse>& out) {
  for (size_t i = 0; i < counters.size(); ++i) {
    const std::string block = format("{}.{}", stack, i);
    if (!counters[i].attention.empty()) {
      out.push_back({attention_layer_name(block), counters[i].attention});
    }
    if (!counters[i].feed_forward.empty()) out.push_back({block, counters[i].feed_forward});
  }
}

/// Inputs side by side as the encoder reads them, without the padding behind them.
struct EncoderRows {
  std::vector<int64_t> ids;
  std::vector<TokenRange> sequences;
  std::vector<RoutingTrace*> traces;  // per sequence; null: not asked for

  void add(const std::vector<int32_t>& input, RoutingTrace* trace) {
    const auto last =
        std::find_if(input.rbegin(), input.rend(), [](int32_t id) { return id != 0; });
    const auto begin = static_cast<int64_t>(ids.size());
    ids.insert(ids.end(), input.begin(), last.base());
    sequences.push_back({begin, static_cast<int64_t>(ids.size())});
    traces.push_back(trace);
  }
  bool traced() const {
    return std::any_of(traces.begin(), traces.end(), [](const auto* trace) { return trace; });
  }
};

/// For each sequence with zeros in it, a mask of its positions; empty for the others.
std::vector<std::vector<float>> padding_masks(const EncoderRows& rows) {
  std::vector<std::vector<float>> masks;
  for (const TokenRange& sequence : rows.sequences) {
    masks.emplace_back();
    const auto begin = rows.ids.begin() + sequence.begin, end = rows.ids.begin() + sequence.end;
    if (std::find(begin, end, 0) == end) continue;
    std::transform(begin, end, std::back_inserter(masks.back()), [](int64_t id) {
      return id == 0 ? -std::numeric_limits<float>::infinity() : 0.0f;
    });
  }
  return masks;
}

int64_t matrix_bytes(const Matrix& matrix, int64_t element) {
  const auto scale = static_cast<int64_t>(matrix.scales ? sizeof(float) : 0);
  return matrix.outputs * (matrix.inputs * element + scale);
}

int64_t matrix_bytes(const FeedForwardWeights& weights, int64_t element) {
  int64_t bytes = matrix_bytes(weights.wi, element) + matrix_bytes(weights.linear, element);
  for (const Matrix& last : weights.last) bytes += matrix_bytes(last, element);
  return bytes;
}

int64_t routed_bytes(const RoutedWeights& weights, int64_t choices, int64_t element) {
  return static_cast<int64_t>(weights.router.size() * sizeof(float)) +
         choices * matrix_bytes(weights.experts.front(), element);
}

}  // namespace

class InferenceModel::Core {
 public:
  explicit Core(std::shared_ptr<const InferenceWeights> weights)
      : weights_(std::move(weights)),
        encoder_use_(make_counters(weights_->encoder)),
        decoder_use_(make_counters(weights_->decoder)) {
    std::vector<ExpertUse> routed;
    list_counters("encoder", encoder_use_, routed);
    encoder_layers_ = static_cast<int32_t>(routed.size());
  }
  virtual ~Core() = default;
  virtual std::vector<std::shared_ptr<const EncodedInput>> encode(
      std::span<const std::vector<int32_t>> inputs, std::span<RoutingTrace* const> traces) = 0;
  virtual void step(std::span<DecoderRow* const> rows, std::span<const int64_t> ids,
                    float* logits) = 0;
  virtual const ExpertMemory* expert_memory() const = 0;

  const InferenceWeights& weights() const { return *weights_; }
  std::vector<ExpertUse> expert_use() const {
    std::vector<ExpertUse> out;
    list_counters("encoder", encoder_use_, out);
    list_counters("decoder", decoder_use_, out);
    return out;
  }

 protected:
  const ModelConfig& config() const { return weights_->config; }
  int64_t decoder_layers() const { return config().num_decoder_layers; }
  kernels::PageLayout layout(int64_t layer) const {
    return page_layout(layer, config().num_heads, config().d_kv);
  }

  std::shared_ptr<const InferenceWeights> weights_;
  std::vector<UseOfBlock> encoder_use_, decoder_use_;
  int32_t encoder_layers_;  // routed ones
};

template <class W>
class InferenceModel::TypedCore : public Core {
 public:
  using T = ActivationOf<W>;

  TypedCore(std::shared_ptr<const InferenceWeights> weights, const EngineOptions& options)
      : Core(std::move(weights)),
        layers_(*weights_, options),
        encoder_bias_(config(), weights_->encoder.relative_bias, false),
        decoder_bias_(config(), weights_->decoder.relative_bias, true),
        pool_(page_size(decoder_layers())) {}

  std::vector<std::shared_ptr<const EncodedInput>> encode(
      std::span<const std::vector<int32_t>> inputs,
      std::span<RoutingTrace* const> traces) override {
    std::vector<std::shared_ptr<const EncodedInput>> encoded;
    EncoderRows rows;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::vector<int32_t>& input = inputs[i];
      const size_t together = rows.ids.size() + input.size();
      if (!rows.ids.empty() && together > static_cast<size_t>(kEncoderRows)) {
        encode_rows(rows, encoded);
        rows = {};
      }
      rows.add(input, traces.empty() ? nullptr : traces[i]);
    }
    if (!rows.ids.empty()) encode_rows(rows, encoded);
    return encoded;
  }

  void step(std::span<DecoderRow* const> rows, std::span<const int64_t> ids,
            float* logits) override {
    const RowSet set{ids, {}};
    prepare_rows(rows);
    const SelfCache base{
        {}, pages_.data(), positions_.data(), attending_.data(), decoder_bias_.stride()};
    layers_.embed(set);
    traced_.clear();
    const bool traced =
        std::any_of(rows.begin(), rows.end(), [](const DecoderRow* row) { return row->trace; });
    int32_t layer = encoder_layers_;
    for (int64_t l = 0; l < decoder_layers(); ++l) {
      const auto i = static_cast<size_t>(l);
      const BlockWeights& block = weights_->decoder.blocks[i];
      SelfCache cache = base;
      cache.layout = layout(l);
      if (traced) trace_next(decoder_use_[i].attention, layer);
      layers_.self_attention(block, set, cache, &decoder_use_[i].attention);
      layers_.cross_attention(block, set, layout(l), crossing_.data());
      if (traced) trace_next(decoder_use_[i].feed_forward, layer);
      layers_.feed_forward(block, set, &decoder_use_[i].feed_forward);
    }
    if (traced) hand_out_routes(rows);
    write_logits(set.count(), logits);
  }

  const ExpertMemory* expert_memory() const override { return layers_.expert_memory(); }

 private:
  /// If the sublayer counted in `use` is routed, its choices are traced as those of `layer`, which
  /// then counts on.
  void trace_next(const std::vector<int64_t>& use, int32_t& layer) {
    if (!use.empty()) layers_.trace_to(&traced_, layer++);
  }

  void hand_out_routes(std::span<DecoderRow* const> rows) {
    layers_.trace_to(nullptr, 0);
    for (const TracedChoice& traced : traced_) {
      const DecoderRow& row = *rows[static_cast<size_t>(traced.choice.token)];
      if (row.trace) append_route(traced, row.cache.length() - 1, *row.trace);
    }
  }

  void hand_out_routes(const EncoderRows& rows) {
    layers_.trace_to(nullptr, 0);
    for (const TracedChoice& traced : traced_) {
      const int64_t token = traced.choice.token;
      const auto after = std::upper_bound(
          rows.sequences.begin(), rows.sequences.end(), token,
          [](int64_t row, const TokenRange& sequence) { return row < sequence.end; });
      RoutingTrace* trace = rows.traces[static_cast<size_t>(after - rows.sequences.begin())];
      if (trace) append_route(traced, token - after->begin, *trace);
    }
  }

  static void append_route(const TracedChoice& traced, int64_t position, RoutingTrace& trace) {
    trace.push_back({traced.layer, static_cast<int32_t>(position),
                     static_cast<int32_t>(traced.choice.expert), traced.choice.gate,
                     traced.dropped});
  }

  size_t page_size(int64_t layers) const {
    return kernels::page_bytes<T>(layers, config().num_heads, config().d_kv);
  }

  void prepare_rows(std::span<DecoderRow* const> rows) {
    pages_.clear();
    positions_.clear();
    attending_.clear();
    crossing_.clear();
    for (DecoderRow* row : rows) {
      row->cache.extend(pool_);
      decoder_bias_.reserve(row->cache.length());
    }
    for (const DecoderRow* row : rows) {
      const RowCache& cache = row->cache;
      pages_.push_back(cache.last_page());
      positions_.push_back(cache.last_position());
      attending_.push_back(
          {cache.pages(), cache.length(), decoder_bias_.row(cache.length() - 1), nullptr});
      crossing_.push_back({row->input->pages.data(), row->input->positions, nullptr, nullptr});
    }
  }

  void write_logits(int64_t rows, float* logits) {
    // T5 scales the decoder's output only when the output layer is the embedding.
    const float scale =
        config().tie_embeddings ? 1.0f / std::sqrt(static_cast<float>(config().d_model)) : 1.0f;
    scales_.assign(static_cast<size_t>(rows), scale);
    const T* x = layers_.normed(weights_->decoder.final_norm, rows);
    auto product = make_product(weights_->output, layers_.readable(x, rows, config().d_model), rows,
                                logits, weights_->output.outputs);
    product.factors = scales_.data();
    kernels::few_row_products(&product, 1);
  }

  /// Runs the encoder over `rows` and adds what the decoder needs of them.
  void encode_rows(const EncoderRows& rows,
                   std::vector<std::shared_ptr<const EncodedInput>>& encoded) {
    const RowSet set{rows.ids, rows.sequences};
    lay_out_encoder(rows);
    const SelfCache cache{layout(0), pages_.data(), positions_.data(), attending_.data(),
                          encoder_bias_.stride()};
    layers_.embed(set);
    traced_.clear();
    const bool traced = rows.traced();
    int32_t layer = 0;
    for (size_t i = 0; i < weights_->encoder.blocks.size(); ++i) {
      const BlockWeights& block = weights_->encoder.blocks[i];
      if (traced) trace_next(encoder_use_[i].attention, layer);
      layers_.self_attention(block, set, cache, &encoder_use_[i].attention);
      if (traced) trace_next(encoder_use_[i].feed_forward, layer);
      layers_.feed_forward(block, set, &encoder_use_[i].feed_forward);
    }
    if (traced) hand_out_routes(rows);
    store_memory(rows, encoded);
  }

  /// Pages of one layer, used by each in turn.
  void lay_out_encoder(const EncoderRows& rows) {
    int64_t total = 0, longest = 0;
    for (const TokenRange& sequence : rows.sequences) {
      total += pages_for(sequence.end - sequence.begin);
      longest = std::max(longest, sequence.end - sequence.begin);
    }
    encoder_bias_.reserve(longest);
    const size_t bytes = page_size(1);
    encoder_memory_.resize(static_cast<size_t>(total) * bytes);
    encoder_pages_.clear();
    for (int64_t p = 0; p < total; ++p) {
      encoder_pages_.push_back(encoder_memory_.data() + static_cast<size_t>(p) * bytes);
    }
    masks_ = padding_masks(rows);
    pages_.clear();
    positions_.clear();
    attending_.clear();
    int64_t first = 0;
    for (size_t s = 0; s < rows.sequences.size(); ++s) {
      const int64_t count = rows.sequences[s].end - rows.sequences[s].begin;
      for (int64_t i = 0; i < count; ++i) {
        pages_.push_back(encoder_pages_[static_cast<size_t>(first + i / kPagePositions)]);
        positions_.push_back(i % kPagePositions);
        attending_.push_back({encoder_pages_.data() + first, count, encoder_bias_.row(i),
                              masks_[s].empty() ? nullptr : masks_[s].data()});
      }
      first += pages_for(count);
    }
  }

  /// Keys and values of all cross-attention. Padding has none.
  void store_memory(const EncoderRows& rows,
                    std::vector<std::shared_ptr<const EncodedInput>>& encoded) {
    const int64_t inner = config().inner_size();
    const auto count = static_cast<int64_t>(rows.ids.size());
    const T* memory = layers_.normed(weights_->encoder.final_norm, count);
    gather_real(rows, memory, encoded);
    const auto real = static_cast<int64_t>(pages_.size());
    keys_values_.resize(static_cast<size_t>(real * 2 * inner));
    const ProductRows<W> x = layers_.readable(real_memory_.data(), real, config().d_model);
    for (int64_t l = 0; l < decoder_layers(); ++l) {
      const AttentionWeights& cross = weights_->decoder.blocks[static_cast<size_t>(l)].cross;
      float* out = keys_values_.data();
      const ProductOf<W> products[] = {make_product(cross.k, x, real, out, 2 * inner),
                                       make_product(cross.v, x, real, out + inner, 2 * inner)};
      kernels::few_row_products(products, 2);
      kernels::cache_store(kernels::CacheStore<T>{layout(l), real, pages_.data(), positions_.data(),
                                                  out, out + inner, 2 * inner});
    }
  }

  /// Makes the inputs' pages, and real_memory_, pages_ and positions_ of all rows that are not
  /// padding.
  void gather_real(const EncoderRows& rows, const T* memory,
                   std::vector<std::shared_ptr<const EncodedInput>>& encoded) {
    const int64_t width = config().d_model;
    const size_t bytes = page_size(decoder_layers());
    pages_.clear();
    positions_.clear();
    real_memory_.clear();
    for (const TokenRange& sequence : rows.sequences) {
      const auto input = std::make_shared<EncodedInput>();
      const auto begin = rows.ids.begin() + sequence.begin, end = rows.ids.begin() + sequence.end;
      input->positions = (end - begin) - std::count(begin, end, 0);
      input->memory.resize(static_cast<size_t>(pages_for(input->positions)) * bytes);
      int64_t position = 0;
      for (int64_t r = sequence.begin; r < sequence.end; ++r) {
        if (rows.ids[static_cast<size_t>(r)] == 0) continue;
        const auto page = static_cast<size_t>(position / kPagePositions);
        pages_.push_back(input->memory.data() + page * bytes);
        positions_.push_back(position % kPagePositions);
        if (positions_.back() == 0) input->pages.push_back(pages_.back());
        real_memory_.insert(real_memory_.end(), memory + r * width, memory + (r + 1) * width);
        ++position;
      }
      encoded.push_back(input);
    }
  }

  Layers<W> layers_;
  std::vector<TracedChoice> traced_;  // of one pass
  PositionBias encoder_bias_, decoder_bias_;
  PagePool pool_;
  // By row of a pass.
  std::vector<std::byte*> pages_;
  std::vector<int64_t> positions_;
  std::vector<AttendingRow> attending_, crossing_;
  std::vector<float> scales_;
  // Of the encoder.
  std::vector<std::byte> encoder_memory_;
  std::vector<std::byte*> encoder_pages_;
  std::vector<std::vector<float>> masks_;
  std::vector<T> real_memory_;  // [rows, D]
  std::vector<float> keys_values_;
};

InferenceModel::InferenceModel(std::shared_ptr<const InferenceWeights> weights,
                               const EngineOptions& options) {
  switch (weights->type) {
    case WeightType::kFloat32:
      core_ = std::make_unique<TypedCore<float>>(std::move(weights), options);
      break;
    case WeightType::kBfloat16:
      core_ = std::make_unique<TypedCore<kernels::Bf16>>(std::move(weights), options);
      break;
    case WeightType::kInt8:
      core_ = std::make_unique<TypedCore<int8_t>>(std::move(weights), options);
      break;
  }
}

InferenceModel::~InferenceModel() = default;

const ModelConfig& InferenceModel::config() const { return core_->weights().config; }

const InferenceWeights& InferenceModel::weights() const { return core_->weights(); }

std::vector<std::shared_ptr<const EncodedInput>> InferenceModel::encode(
    std::span<const std::vector<int32_t>> inputs, std::span<RoutingTrace* const> traces) {
  return core_->encode(inputs, traces);
}

void InferenceModel::step(std::span<DecoderRow* const> rows, std::span<const int64_t> ids,
                          float* logits) {
  core_->step(rows, ids, logits);
}

std::vector<ExpertUse> InferenceModel::expert_use() const { return core_->expert_use(); }

std::optional<ExpertMemoryUse> InferenceModel::expert_memory() const {
  const ExpertMemory* memory = core_->expert_memory();
  if (!memory) return std::nullopt;
  return memory->use();
}

int64_t InferenceModel::bytes_per_step() const {
  const InferenceWeights& own = weights();
  const int64_t element = weight_bytes(own.type);
  const MoeConfig& moe = own.config.moe;
  const int64_t choices = moe.router == "top2" && moe.second_choice != "none" ? 2 : 1;
  int64_t bytes = matrix_bytes(own.output, element);
  for (const BlockWeights& block : own.decoder.blocks) {
    for (const AttentionWeights* attention : {&block.self, &block.cross}) {
      bytes += matrix_bytes(attention->q, element) + matrix_bytes(attention->o, element);
    }
    // Keys and values of cross-attention are cached.
    bytes += matrix_bytes(block.self.k, element) + matrix_bytes(block.self.v, element);
    if (block.attention_experts) bytes += routed_bytes(*block.attention_experts, choices, element);
    bytes += block.routed ? routed_bytes(*block.routed, choices, element)
                          : matrix_bytes(block.dense, element);
  }
  return bytes;
}

}  // namespace switchyard
