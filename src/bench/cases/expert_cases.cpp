#include <numeric>

#include "base/format.h"
#include "bench/cases/case_tools.h"
#include "bench/cases/op_case.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

struct Shape {
  int64_t experts, rows, d_model;  // rows: of each expert, in the mean
  bool skewed = false;             // half of all tokens go to the first expert
  int64_t tokens() const { return experts * rows; }
  int64_t d_ff() const { return 4 * d_model; }
};

std::vector<int64_t> rows_of_experts(const Shape& shape) {
  std::vector<int64_t> counts(static_cast<size_t>(shape.experts), shape.rows);
  if (!shape.skewed) return counts;
  const int64_t rest = shape.tokens() / 2, others = shape.experts - 1;
  counts[0] = shape.tokens() - rest;
  for (int64_t e = 0; e < others; ++e) {
    counts[static_cast<size_t>(e) + 1] = rest / others + (e < rest % others ? 1 : 0);
  }
  return counts;
}

/// Every token kept, in random places; within an expert in order, as routers leave them.
RoutingPlan make_plan(const std::vector<int64_t>& counts) {
  RoutingPlan plan;
  plan.num_experts = static_cast<int64_t>(counts.size());
  plan.num_tokens = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  plan.expert = at::empty({plan.num_tokens, 1}, at::kLong);
  plan.row_choice = at::randperm(plan.num_tokens, at::kLong);
  plan.offsets = {0};
  for (int64_t e = 0; e < plan.num_experts; ++e) {
    const int64_t count = counts[static_cast<size_t>(e)];
    at::Tensor own = plan.row_choice.narrow(0, plan.offsets.back(), count);
    own.copy_(std::get<0>(at::sort(own)));
    plan.expert.index_fill_(0, own, e);
    plan.offsets.push_back(plan.offsets.back() + count);
  }
  plan.kept = at::ones({plan.num_tokens, 1}, at::kBool);
  plan.gate = at::rand({plan.num_tokens, 1}).set_requires_grad(true);
  return plan;
}

/// The experts of a parameter as separate leaves, as PyTorch models keep them: the gradient of a
/// slice would be as large as the whole.
std::vector<at::Tensor> plain_experts(const Parameter& stacked) {
  std::vector<at::Tensor> experts;
  for (int64_t e = 0; e < stacked.num_matrices(); ++e) {
    experts.push_back(stacked.compute().detach().select(0, e).detach().set_requires_grad(true));
  }
  return experts;
}

/// Tokens gathered once, two products per expert, results put back once.
at::Tensor plain_feed_forward(const at::Tensor& x, const RoutingPlan& plan,
                              const std::vector<int64_t>& counts, const std::vector<at::Tensor>& wi,
                              const std::vector<at::Tensor>& wo) {
  const std::vector<at::Tensor> rows = x.index_select(0, plan.row_choice).split_with_sizes(counts);
  std::vector<at::Tensor> results;
  for (size_t e = 0; e < counts.size(); ++e) {
    results.push_back(at::mm(at::relu(at::mm(rows[e], wi[e].t())), wo[e].t()));
  }
  const at::Tensor gate = plan.gate.index_select(0, plan.row_choice).to(x.scalar_type());
  return at::zeros_like(x).index_add(0, plan.row_choice, at::cat(results) * gate);
}

OpPair prepare(const Shape& shape, Direction direction) {
  const std::vector<int64_t> counts = rows_of_experts(shape);
  const RoutingPlan plan = make_plan(counts);
  const at::Tensor x = random_leaf({shape.tokens(), shape.d_model}, at::kBFloat16);
  const at::Tensor upstream = at::randn(x.sizes()).to(at::kBFloat16);
  const auto wi = random_weight({shape.d_ff(), shape.d_model}, at::kBFloat16, 0.05, shape.experts);
  const auto wo = random_weight({shape.d_model, shape.d_ff()}, at::kBFloat16, 0.05, shape.experts);
  const std::vector<at::Tensor> plain_wi = plain_experts(*wi), plain_wo = plain_experts(*wo);
  Trained plain = {{x, plan.gate}, {}};
  plain.leaves.insert(plain.leaves.end(), plain_wi.begin(), plain_wi.end());
  plain.leaves.insert(plain.leaves.end(), plain_wo.begin(), plain_wo.end());
  return {
      pass(direction, [=] { return ops::expert_feed_forward(x, plan, *wi, *wo, {}); }, upstream,
           {{x, plan.gate}, {wi, wo}}),
      pass(
          direction, [=] { return plain_feed_forward(x, plan, counts, plain_wi, plain_wo); },
          upstream, plain),
  };
}

OpCase make_case(const Shape& shape, Direction direction) {
  const bool both = direction == Direction::kBoth;
  const auto tokens = static_cast<double>(shape.tokens()), d = static_cast<double>(shape.d_model),
             inner = static_cast<double>(shape.d_ff());
  const double weights = 2 * static_cast<double>(shape.experts) * d * inner;
  OpCase c;
  c.name = format("experts/{}x{}/d{}{}/{}", shape.experts, shape.rows, shape.d_model,
                  shape.skewed ? "/skewed" : "", direction_name(direction));
  c.type = "bf16";
  c.work.flops = (both ? 3 : 1) * 4 * tokens * d * inner;
  c.work.weight_bytes = (both ? 2 + 2 + 4 : 2) * weights;  // read, read again, gradient written
  c.work.bytes = c.work.weight_bytes + (both ? 5 : 2) * 2 * tokens * d;  // x, y; then x, dy, dx
  c.memory = (both ? 4 + 2 + 4 + 2 : 4 + 2) * weights + tokens * (40 * d + 20 * inner);
  c.prepare = [=] { return prepare(shape, direction); };
  return c;
}

}  // namespace

std::vector<OpCase> expert_cases() {
  std::vector<OpCase> cases;
  const auto add = [&](const Shape& shape) {
    for (const Direction direction : kDirections) cases.push_back(make_case(shape, direction));
  };
  for (const int64_t d_model : {128, 256, 768}) {
    for (const int64_t experts : {8, 32, 128}) {
      for (const int64_t rows : {16, 64, 256}) add({experts, rows, d_model});
    }
  }
  // Next to the even ones with as many tokens.
  add({8, 256, 256, true});
  add({32, 256, 256, true});
  add({8, 256, 768, true});
  return cases;
}

}  // namespace switchyard
