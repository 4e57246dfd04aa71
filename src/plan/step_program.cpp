#include "plan/step_program.h"

#include <algorithm>
#include <iterator>

#include "base/format.h"
#include "data/span_corruption.h"
#include "plan/pass_builder.h"

namespace switchyard {
namespace {

RankModel rank_model(const Recipe& recipe, const MeshConfig& mesh) {
  const bool narrow = parse_precision(recipe.train.precision) != Precision::kFloat32;
  const MoeConfig& moe = recipe.model.moe;
  RankModel model;
  model.config = &recipe.model;
  model.mesh = mesh;
  model.inner = recipe.model.inner_size() / mesh.model;
  model.d_ff = recipe.model.d_ff / mesh.model;
  model.attention_hidden = recipe.model.attention_hidden() / mesh.model;
  model.item = narrow ? 2 : 4;
  model.router_copy = narrow || (moe.exploration == "jitter" && moe.jitter > 0);
  return model;
}

/// Adds `ops` behind what is there.
void append(std::vector<Op>& all, const std::vector<Op>& ops, double repeat) {
  const size_t first = all.size();
  for (const Op& op : ops) {
    all.push_back(op);
    all.back().repeat = repeat;
    for (size_t& index : all.back().after) index += first;
  }
}

/// "encoder.3", "loss" or the stack, from a parameter's name: whose backward pass makes its
/// gradient.
std::string place_of(const ParameterShape& parameter) {
  const size_t dot = parameter.name.find('.');
  const std::string stack = parameter.name.substr(0, dot);
  if (stack == "lm_head") return "loss";
  if (stack == "shared") return "encoder";  // the last to use it in backward
  const size_t block = parameter.name.find(".block.");
  if (block == std::string::npos) return stack == "encoder" ? "encoder.0" : "decoder.0";
  const size_t begin = block + 7;
  return stack + "." + parameter.name.substr(begin, parameter.name.find('.', begin) - begin);
}

Op reduction(RankGroup group, double bytes, bool scatter, const std::string& what) {
  Op op;
  op.place = "gradients";
  op.detail = what;
  op.transfer = {scatter ? Collective::kReduceScatter : Collective::kAllReduce, group, bytes};
  op.overlaps = true;
  return op;
}

/// The last backward pass with its reductions, each as soon as enough gradients are ready.
class GradientReducer {
 public:
  GradientReducer(const MeshConfig& mesh, const StepOptions& options,
                  const std::vector<ParameterShare>& parameters)
      : options_(options) {
    for (const ParameterShare& share : parameters) {
      const double bytes = 4.0 * static_cast<double>(share.local.count());
      Waiting& own = share.expert ? experts_ : dense_;
      own.of_place.push_back({place_of(share.local), bytes});
    }
    dense_.group = RankGroup::kReplicas;
    dense_.active = mesh.data * mesh.expert > 1;
    dense_.what = "gradients of dense weights";
    experts_.group = RankGroup::kData;
    experts_.active = mesh.data > 1;
    experts_.what = "gradients of experts";
  }

  /// Adds `backward` to `all`; returns where the reductions stand.
  std::vector<size_t> append_to(std::vector<Op>& all, const std::vector<Op>& backward) {
    std::vector<size_t> reductions;
    const size_t first = all.size();
    for (size_t i = 0; i < backward.size(); ++i) {
      // The places before were moved by the reductions between them.
      moved_.push_back(all.size() - first);
      all.push_back(backward[i]);
      for (size_t& index : all.back().after) index = first + moved_[index];
      const bool last_of_place =
          i + 1 == backward.size() || backward[i + 1].place != backward[i].place;
      if (!last_of_place) continue;
      for (Waiting* own : {&dense_, &experts_}) {
        collect(*own, backward[i].place);
        const bool last = i + 1 == backward.size();
        if (!own->active || own->bytes == 0 || (own->bytes < options_.bucket_bytes && !last)) {
          continue;
        }
        Op op = reduction(own->group, own->bytes, options_.shard_optimizer, own->what);
        op.after = {all.size() - 1};
        if (all.back().is_transfer()) op.after.clear();  // in order on their stream anyway
        own->bytes = 0;
        reductions.push_back(all.size());
        all.push_back(std::move(op));
      }
    }
    return reductions;
  }

 private:
  struct Waiting {
    std::vector<std::pair<std::string, double>> of_place;
    RankGroup group = RankGroup::kReplicas;
    bool active = false;
    std::string what;
    double bytes = 0;
  };

  static void collect(Waiting& own, const std::string& place) {
    for (auto& [name, bytes] : own.of_place) {
      if (name != place) continue;
      own.bytes += bytes;
      bytes = 0;
    }
  }

  const StepOptions& options_;
  Waiting dense_, experts_;
  std::vector<size_t> moved_;
};

OpKind optimizer_kind(const OptimizerConfig& optimizer) {
  if (optimizer.kind == "adamw") return OpKind::kAdamW;
  return optimizer.momentum > 0 ? OpKind::kAdafactorMomentum : OpKind::kAdafactor;
}

/// The share of a parameter's update that a rank makes.
double own_share(const ParameterShare& share, const MeshConfig& mesh, const StepOptions& options) {
  if (!options.shard_optimizer) return 1;
  return 1.0 / static_cast<double>(share.expert ? mesh.data : mesh.data * mesh.expert);
}

void append_update(std::vector<Op>& ops, const Recipe& recipe, const MeshConfig& mesh,
                   const std::vector<ParameterShare>& parameters, const StepOptions& options,
                   const std::vector<size_t>& reductions) {
  Op norm, update;
  norm.kind = OpKind::kGradientNorm;
  update.kind = optimizer_kind(recipe.optimizer);
  norm.place = update.place = "update";
  norm.after = reductions;
  norm.work.calls = update.work.calls = 1;
  double gathered_dense = 0, gathered_experts = 0;
  for (const ParameterShare& share : parameters) {
    const auto count = static_cast<double>(share.local.count());
    const double own = count * own_share(share, mesh, options);
    const double state = state_size(recipe.optimizer, share.local).total() * own / count;
    // What products write counts its squares along; tables and norms do not.
    if (share.local.name == "shared.weight" || share.local.shape.size() == 1) {
      norm.work.weights += own;
      norm.bytes += 4 * own;
    }
    const bool full = state > 0.5 * own && update.kind != OpKind::kAdamW &&
                      !(update.kind == OpKind::kAdafactorMomentum && state < 1.5 * own);
    (full ? update.work.elements : update.work.weights) += own;
    update.bytes += own * (share.local.copied ? 14 : 12) + 8 * state;
    (share.expert ? gathered_experts : gathered_dense) += 4 * count;
  }
  ops.push_back(std::move(norm));
  ops.push_back(std::move(update));
  if (!options.shard_optimizer) return;
  const auto gather = [&](RankGroup group, double bytes, int64_t ranks) {
    if (ranks == 1 || bytes == 0) return;
    Op op;
    op.place = "update";
    op.detail = "updated weights";
    op.transfer = {Collective::kAllGather, group, bytes};
    ops.push_back(std::move(op));
  };
  gather(RankGroup::kReplicas, gathered_dense, mesh.data * mesh.expert);
  gather(RankGroup::kData, gathered_experts, mesh.data);
}

}  // namespace

StepOptions step_options(const Recipe& recipe) {
  const SpanLengths lengths = span_lengths(recipe.data.input_length, recipe.data.noise_density,
                                           recipe.data.mean_span_length);
  StepOptions options;
  options.input_length = lengths.inputs;
  options.target_length = lengths.targets;
  return options;
}

StepProgram make_step_program(const Recipe& recipe, const MeshConfig& mesh,
                              const std::vector<ParameterShare>& parameters,
                              const StepOptions& options) {
  StepProgram program;
  program.batch = divide_over_mesh(recipe, mesh);
  const RankModel model = rank_model(recipe, mesh);
  PassBuilder pass(model, options);
  const int64_t micro = program.batch.micro;
  pass.stack({"encoder", micro, options.input_length, 0}, recipe.train.recompute);
  pass.stack({"decoder", micro, options.target_length, options.input_length},
             recipe.train.recompute);
  pass.cross_entropy(static_cast<double>(micro * options.target_length));
  pass.finish();
  if (program.batch.micro_batches > 1) {
    const auto before = static_cast<double>(program.batch.micro_batches - 1);
    append(program.ops, pass.forward, before);
    append(program.ops, pass.backward, before);
  }
  append(program.ops, pass.forward, 1);
  const std::vector<size_t> reductions =
      GradientReducer(mesh, options, parameters).append_to(program.ops, pass.backward);
  append_update(program.ops, recipe, mesh, parameters, options, reductions);
  return program;
}

}  // namespace switchyard
