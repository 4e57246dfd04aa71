#include "plan/pass_builder.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/format.h"
#include "model/moe/router.h"

namespace switchyard {
namespace {

constexpr double kFloat = 4, kCount = 4;  // bytes
// Of a routed token: expert, place and kept flag as LibTorch indexes them, gates in float32.
constexpr double kPlanBytes = 33;
constexpr double kLogitsOfChunk = 1 << 26;  // ops/cross_entropy.cpp
constexpr double kLeastChunkRows = 64;

/// Experts of a token.
double choices(const ModelConfig& config) { return config.moe.router == "top2" ? 2 : 1; }

}  // namespace

Op PassBuilder::op(OpKind kind, Work work, double bytes) const {
  Op op;
  op.kind = kind;
  op.place = place_;
  op.work = work;
  op.bytes = bytes;
  return op;
}

Op PassBuilder::transfer(Collective kind, RankGroup group, double bytes,
                         const std::string& what) const {
  Op op;
  op.place = place_;
  op.detail = what;
  op.transfer = {kind, group, bytes};
  return op;
}

void PassBuilder::add(Group group) {
  const size_t first = forward.size();
  for (Op& op : group) {
    for (size_t& index : op.after) index += first;
    forward.push_back(std::move(op));
  }
}

void PassBuilder::finish() {
  for (auto group = aside_.rbegin(); group != aside_.rend(); ++group) {
    const size_t first = backward.size();
    for (Op& op : *group) {
      for (size_t& index : op.after) index += first;
      backward.push_back(std::move(op));
    }
  }
  aside_.clear();
}

void PassBuilder::norm(const StackShape& shape) {
  const double elements = shape.tokens() * static_cast<double>(model_.config->d_model);
  const double kept = elements * model_.item + shape.tokens() * kFloat;
  Op forward_op = op(OpKind::kNormForward, {0, 0, elements, 1}, 2 * elements * model_.item);
  forward_op.keeps = kept;
  add(std::move(forward_op));
  Op backward_op = op(OpKind::kNormBackward, {0, 0, elements, 1}, 4 * elements * model_.item);
  backward_op.temporary = flowing_ + elements * model_.item;
  backward_op.frees = kept;
  put_aside({std::move(backward_op)});
}

void PassBuilder::linears(const std::string& parameter, const std::vector<std::string>& names,
                          double rows, double outputs, double inputs, double kept_outputs,
                          bool router) {
  const double item = router ? kFloat : model_.item;
  const double weights = outputs * inputs, elements = rows * (outputs + inputs);
  const Work work{2 * rows * weights, weights, elements, 1};
  Group backward_ops;
  Work all;
  for (const std::string& name : names) {
    const std::string detail = parameter + name + ".weight";
    Op forward_op = op(router ? OpKind::kRouterLinearForward : OpKind::kLinearForward, work,
                       item * (weights + elements));
    forward_op.detail = detail;
    forward_op.keeps = kept_outputs / static_cast<double>(names.size());
    forward_op.temporary = rows * outputs * item;
    add(std::move(forward_op));
    Op gradient = op(router ? OpKind::kRouterWeightGradient : OpKind::kLinearWeightGradient, work,
                     item * elements + kFloat * weights);
    gradient.detail = detail;
    gradient.temporary = flowing_ + rows * outputs * item;
    backward_ops.push_back(std::move(gradient));
    all += work;
  }
  all.calls = 1;
  Op input = op(router ? OpKind::kRouterInputGradient : OpKind::kLinearInputGradient, all,
                item * (all.weights + all.elements));
  input.detail = parameter + names.front() + ".weight";
  input.temporary = flowing_ + rows * item * (outputs * static_cast<double>(names.size()) + inputs);
  input.frees = kept_outputs;
  backward_ops.push_back(std::move(input));
  put_aside(std::move(backward_ops));
}

void PassBuilder::model_sum(double elements, bool in_forward) {
  if (model_.mesh.model == 1) return;
  Op sum = transfer(Collective::kAllReduce, RankGroup::kModel, elements * model_.item,
                    "partial sums of activations");
  if (in_forward) {
    add(std::move(sum));
  } else {
    put_aside({std::move(sum)});
  }
}

void PassBuilder::attention(const StackShape& shape, double keys, double key_tokens, bool causal) {
  const auto inner = static_cast<double>(model_.inner);
  const double heads = inner / static_cast<double>(model_.config->d_kv);
  const double scores = shape.tokens() * keys * heads * (causal ? 0.5 : 1.0);
  const double elements = (shape.tokens() + 2 * key_tokens) * inner;
  const double flops = 4 * scores * static_cast<double>(model_.config->d_kv);
  const double kept = shape.tokens() * (inner * model_.item + heads * kFloat);
  Op forward_op = op(OpKind::kAttentionForward, {flops, scores, elements, 1},
                     model_.item * (elements + shape.tokens() * inner));
  forward_op.keeps = kept;
  add(std::move(forward_op));
  Op backward_op = op(OpKind::kAttentionBackward, {2.5 * flops, scores, elements, 1},
                      model_.item * 2 * (elements + shape.tokens() * inner));
  backward_op.temporary = flowing_ + model_.item * (elements + 2 * shape.tokens() * inner);
  backward_op.frees = kept;
  put_aside({std::move(backward_op)});
}

void PassBuilder::residual(const StackShape& shape, bool routed) {
  const ModelConfig& config = *model_.config;
  const double elements = shape.tokens() * static_cast<double>(config.d_model);
  const double dropped = config.dropout > 0 ? elements : 0;
  const double bytes = elements * model_.item;
  Op forward_op = op(OpKind::kRestForward, {dropped, 0, elements, 1}, 3 * bytes);
  forward_op.keeps = bytes;
  forward_op.temporary = bytes + (dropped > 0 ? bytes + elements * kFloat : 0);
  add(std::move(forward_op));
  const auto router = static_cast<double>(config.moe.num_experts + config.d_model);
  Op backward_op = op(OpKind::kRestBackward,
                      {dropped, routed ? shape.tokens() * router : 0, elements, 1}, 3 * bytes);
  backward_op.temporary = flowing_ + (dropped > 0 ? bytes + elements * kFloat : 0);
  backward_op.frees = bytes;
  put_aside({std::move(backward_op)});
}

void PassBuilder::self_attention(const StackShape& shape, const std::string& layer, bool experts) {
  const auto d = static_cast<double>(model_.config->d_model);
  const auto inner = static_cast<double>(model_.inner);
  const std::string name = layer + "0.SelfAttention.";
  norm(shape);
  if (experts) {
    routed(shape, name, static_cast<double>(model_.attention_hidden), 2 * inner);
  } else {
    model_sum(shape.tokens() * d, /*in_forward=*/false);
    linears(name, {"q", "k", "v"}, shape.tokens(), inner, d,
            3 * shape.tokens() * inner * model_.item);
  }
  attention(shape, static_cast<double>(shape.length), shape.tokens(), shape.decoder());
  linears(name, {"o"}, shape.tokens(), d, inner, 0);
  model_sum(shape.tokens() * d, /*in_forward=*/true);
  residual(shape, experts);
}

void PassBuilder::cross_attention(const StackShape& shape, const std::string& layer) {
  const auto d = static_cast<double>(model_.config->d_model);
  const auto inner = static_cast<double>(model_.inner);
  const std::string name = layer + "1.EncDecAttention.";
  norm(shape);
  model_sum((shape.tokens() + shape.memory_tokens()) * d, /*in_forward=*/false);
  linears(name, {"k", "v"}, shape.memory_tokens(), inner, d,
          2 * shape.memory_tokens() * inner * model_.item);
  linears(name, {"q"}, shape.tokens(), inner, d, shape.tokens() * inner * model_.item);
  attention(shape, static_cast<double>(shape.memory_length), shape.memory_tokens(), false);
  linears(name, {"o"}, shape.tokens(), d, inner, 0);
  model_sum(shape.tokens() * d, /*in_forward=*/true);
  residual(shape, false);
}

void PassBuilder::dense(const StackShape& shape, const std::string& layer) {
  const ModelConfig& config = *model_.config;
  const auto d = static_cast<double>(config.d_model);
  const auto hidden = static_cast<double>(model_.d_ff);
  const double wide = config.gated() ? 2 * hidden : hidden;
  const double rows = shape.tokens(), item = model_.item;
  norm(shape);
  model_sum(rows * d, /*in_forward=*/false);
  linears(layer, {"wi"}, rows, wide, d, config.gated() ? rows * wide * item : 0);
  const double kept = rows * hidden * item * (config.dropout > 0 ? 2 : 1);
  Op forward_op = op(config.gated() ? OpKind::kGatedActivationForward : OpKind::kActivationForward,
                     {0, 0, rows * wide, 1}, item * rows * (wide + hidden));
  forward_op.keeps = kept;
  forward_op.temporary = rows * wide * item + (config.dropout > 0 ? rows * hidden * kFloat : 0);
  add(std::move(forward_op));
  Op backward_op =
      op(config.gated() ? OpKind::kGatedActivationBackward : OpKind::kActivationBackward,
         {0, 0, rows * wide, 1}, item * rows * (2 * wide + hidden));
  backward_op.temporary = flowing_ + rows * item * (hidden + wide);
  backward_op.frees = kept;
  put_aside({std::move(backward_op)});
  linears(layer, {"wo"}, rows, d, hidden, 0);
  model_sum(rows * d, /*in_forward=*/true);
  residual(shape, false);
}

void PassBuilder::router(const StackShape& shape, const std::string& layer) {
  const MoeConfig& moe = model_.config->moe;
  if (!router_kind(moe).learned) return;
  const auto d = static_cast<double>(model_.config->d_model);
  const auto experts = static_cast<double>(moe.num_experts);
  const double tokens = shape.tokens();
  const double logits = tokens * experts;
  const double kept =
      (model_.router_copy ? tokens * d * kFloat : 0) + logits * kFloat * (moe.z_loss > 0 ? 3 : 1);
  Op forward_op = op(OpKind::kRouterForward, {0, tokens * d, logits, 1},
                     tokens * d * (model_.item + 3 * kFloat) + 6 * logits * kFloat);
  forward_op.keeps = kept;
  forward_op.temporary = tokens * d * kFloat + logits * (2 * kFloat + 8);
  add(std::move(forward_op));
  Op end = op(OpKind::kRestBackward, {}, 0);
  end.frees = kept;
  put_aside({std::move(end)});
  linears(layer, {"router.classifier"}, tokens, experts, d, 0, /*router=*/true);
}

PassBuilder::Group PassBuilder::exchanged(const Op& experts, double sent, double returned) const {
  const auto chunks = static_cast<size_t>(std::max<int64_t>(1, options_.chunks));
  const double share = 1.0 / static_cast<double>(chunks);
  const auto counts = static_cast<double>(model_.config->moe.num_experts) * kCount;
  Group group = {transfer(Collective::kAllToAll, RankGroup::kExpert, counts, "counts of tokens")};
  std::vector<size_t> dispatched, computed, all;
  for (size_t c = 0; c < chunks; ++c) {
    Op dispatch = transfer(Collective::kAllToAll, RankGroup::kExpert, sent * share, "tokens");
    dispatch.overlaps = true;
    dispatched.push_back(group.size());
    group.push_back(std::move(dispatch));
  }
  for (size_t c = 0; c < chunks; ++c) {
    Op part = experts;
    part.work = share * experts.work;
    part.work.weights = experts.work.weights;  // each part reads all weights
    part.bytes = share * experts.bytes;
    part.keeps = share * experts.keeps;
    part.frees = share * experts.frees;
    part.temporary += (sent + returned) * share;
    part.after = {dispatched[c]};
    computed.push_back(group.size());
    group.push_back(std::move(part));
    Op combine =
        transfer(Collective::kAllToAll, RankGroup::kExpert, returned * share, "results of experts");
    combine.overlaps = true;
    combine.after = {computed[c]};
    all.push_back(group.size());
    group.push_back(std::move(combine));
  }
  Op join = op(OpKind::kRestForward, {}, 0);
  join.after = all;
  group.push_back(std::move(join));
  return group;
}

void PassBuilder::experts(const StackShape& shape, double inner, double outputs) {
  const ModelConfig& config = *model_.config;
  const auto d = static_cast<double>(config.d_model);
  const double wide = inner * (config.gated() ? 2 : 1), item = model_.item;
  const double most = shape.tokens() * choices(config), rows = most * (1 - options_.dropped_share);
  const double last_input = inner > 0 ? inner : d;
  const double matrix = wide * d + last_input * outputs;  // weights of one expert
  const auto local =
      static_cast<double>(config.moe.num_experts) / static_cast<double>(model_.mesh.expert);
  const double elements = rows * (d + wide + outputs) + shape.tokens() * outputs;
  const double kept = most * (d + wide + outputs) * item + most * kPlanBytes;
  const double hidden_copy = config.gated() ? most * inner * item : 0;
  Op forward_op =
      op(config.gated() ? OpKind::kGatedExpertsForward : OpKind::kExpertsForward,
         {2 * rows * matrix, local * matrix, elements, 1}, item * (local * matrix + 2 * elements));
  forward_op.keeps = kept;
  forward_op.temporary = hidden_copy + shape.tokens() * outputs * item;
  Op backward_op = op(config.gated() ? OpKind::kGatedExpertsBackward : OpKind::kExpertsBackward,
                      {4 * rows * matrix, local * matrix, elements, 1},
                      (item + kFloat) * local * matrix + 4 * item * elements);
  backward_op.temporary =
      flowing_ + hidden_copy + item * (most * (outputs + wide + d) + shape.tokens() * d);
  backward_op.frees = kept;
  if (model_.mesh.expert == 1) {
    add(std::move(forward_op));
    put_aside({std::move(backward_op)});
  } else {
    add(exchanged(forward_op, rows * d * item, rows * outputs * item));
    put_aside(exchanged(backward_op, rows * outputs * item, rows * d * item));
  }
}

void PassBuilder::routed(const StackShape& shape, const std::string& layer, double inner,
                         double outputs) {
  router(shape, layer);
  const auto d = static_cast<double>(model_.config->d_model);
  model_sum(shape.tokens() * d, /*in_forward=*/false);
  experts(shape, inner, outputs);
}

void PassBuilder::block(const StackShape& shape, size_t index) {
  const ModelConfig& config = *model_.config;
  const bool decoder = shape.decoder();
  const bool sparse =
      (decoder ? config.sparse_decoder_layers() : config.sparse_encoder_layers())[index];
  const bool attention_experts = (decoder ? config.expert_attention_decoder_layers()
                                          : config.expert_attention_encoder_layers())[index];
  place_ = format("{}.{}", shape.name, index);
  const std::string layer = format("{}.block.{}.layer.", shape.name, index);
  self_attention(shape, layer, attention_experts);
  if (decoder) cross_attention(shape, layer);
  const std::string last = layer + (decoder ? "2.mlp." : "1.mlp.");
  if (!sparse) return dense(shape, last);
  norm(shape);
  routed(shape, last, static_cast<double>(model_.d_ff), static_cast<double>(config.d_model));
  model_sum(shape.tokens() * static_cast<double>(config.d_model), /*in_forward=*/true);
  residual(shape, true);
}

void PassBuilder::stack(const StackShape& shape, bool recompute) {
  const ModelConfig& config = *model_.config;
  const auto d = static_cast<double>(config.d_model);
  const double elements = shape.tokens() * d, bytes = elements * model_.item;
  place_ = shape.name;
  flowing_ = bytes + shape.memory_tokens() * d * model_.item;
  const double table = static_cast<double>(config.vocab_size) * d;
  Op embed = op(OpKind::kEmbeddingForward, {0, 0, elements, 1}, 2 * bytes);
  embed.keeps = bytes;
  add(std::move(embed));
  Op embed_back = op(OpKind::kEmbeddingBackward, {0, shape.decoder() ? 0 : table, elements, 1},
                     bytes + 2 * elements * kFloat);
  embed_back.frees = bytes;
  embed_back.temporary = flowing_ + elements * kFloat;
  put_aside({std::move(embed_back)});
  const auto blocks =
      static_cast<size_t>(shape.decoder() ? config.num_decoder_layers : config.num_encoder_layers);
  for (size_t i = 0; i < blocks; ++i) {
    const size_t first = forward.size();
    block(shape, i);
    if (!recompute) continue;
    Group again(forward.begin() + static_cast<std::ptrdiff_t>(first), forward.end());
    for (Op& repeated : again) {
      for (size_t& index : repeated.after) index -= first;
    }
    for (size_t at = first; at < forward.size(); ++at) {
      forward[at].temporary += std::exchange(forward[at].keeps, 0.0);
    }
    // Of the whole block only what comes in is kept; the copy's last sum is not needed again.
    forward.back().keeps = bytes;
    again.back().keeps = 0;
    put_aside(std::move(again));
  }
  place_ = shape.name;
  norm(shape);
}

void PassBuilder::cross_entropy(double rows) {
  const auto d = static_cast<double>(model_.config->d_model);
  const auto vocabulary = static_cast<double>(model_.config->vocab_size);
  const double per_chunk = std::max(
      kLeastChunkRows,
      static_cast<double>(static_cast<int64_t>(kLogitsOfChunk) / model_.config->vocab_size));
  const double chunks = std::ceil(rows / per_chunk);
  const double last = rows - (chunks - 1) * per_chunk;
  const double table = vocabulary * d, product = 2 * table;
  place_ = "loss";
  Op forward_op =
      op(OpKind::kCrossEntropyForward, {rows * product, chunks * table, rows * vocabulary, 1},
         model_.item * (chunks * table + 2 * rows * vocabulary));
  forward_op.keeps = model_.item * std::min(rows, per_chunk) * vocabulary + rows * 24;
  Op backward_op =
      op(OpKind::kCrossEntropyBackward,
         {(2 * rows + rows - last) * product, (2 * chunks - 1) * table, rows * vocabulary, 1},
         (model_.item + kFloat) * chunks * table + 3 * model_.item * rows * vocabulary);
  backward_op.temporary = model_.item * rows * d;
  backward_op.frees = forward_op.keeps;
  add(std::move(forward_op));
  put_aside({std::move(backward_op)});
}

}  // namespace switchyard
