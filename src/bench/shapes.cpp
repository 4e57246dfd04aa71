#include "bench/shapes.h"

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

struct Widths {
  int64_t d_model, d_kv, num_heads, layers, vocab_size;
};

// d_ff is 4 d_model; every second block has experts.
BenchShape shape(const std::string& name, const Widths& widths, int64_t experts, int64_t batch,
                 const StepBenchOptions& options) {
  BenchShape out;
  out.name = name;
  out.text = format("{}: d {}, {}+{} layers, {} experts, batch {} x {}/{}", name, widths.d_model,
                    widths.layers, widths.layers, experts, batch, options.input_length,
                    options.target_length);
  ModelConfig& model = out.recipe.model;
  model.d_model = widths.d_model;
  model.d_ff = 4 * widths.d_model;
  model.d_kv = widths.d_kv;
  model.num_heads = widths.num_heads;
  model.num_encoder_layers = model.num_decoder_layers = widths.layers;
  model.vocab_size = widths.vocab_size;
  model.moe.num_experts = experts;
  out.recipe.train.batch_sequences = batch;
  out.options = options;
  return out;
}

}  // namespace

const std::vector<BenchShape>& bench_shapes() {
  static const std::vector<BenchShape> shapes = [] {
    const Widths base{768, 64, 12, 12, 32128};
    StepBenchOptions tiny, mini, small, large;
    tiny.input_length = 128;
    tiny.target_length = 29;
    small.input_length = large.input_length = 512;
    small.target_length = large.target_length = 128;
    small.steps = 10;
    large.steps = 5;
    large.warmup_steps = 1;
    return std::vector<BenchShape>{
        shape("tiny", {128, 32, 4, 4, 8192}, 8, 64, tiny),
        shape("mini", {256, 32, 8, 4, 8192}, 8, 32, mini),
        shape("small", {512, 64, 8, 6, 32128}, 8, 8, small),
        shape("base8", base, 8, 8, large),
        shape("base128", base, 128, 8, large),
    };
  }();
  return shapes;
}

const BenchShape& bench_shape(const std::string& name) {
  std::string names;
  for (const BenchShape& known : bench_shapes()) {
    if (known.name == name) return known;
    names += (names.empty() ? "" : ", ") + known.name;
  }
  throw usage_error(format("shape \"{}\" is not known", name), "--shape",
                    "choose one of: " + names);
}

}  // namespace switchyard
