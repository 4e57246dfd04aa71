#include "bench/decode_bench.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/median.h"
#include "base/progress.h"
#include "base/threads.h"
#include "bench/memory_rate.h"
#include "bench/zipf_ids.h"
#include "infer/cached_decoder.h"
#include "model/counts.h"

namespace switchyard {
namespace {

at::Tensor random_values(const Parameter& parameter, at::ScalarType type) {
  const InitRule rule = parameter.init();
  const at::Tensor values = at::empty(parameter.value().sizes(), at::TensorOptions(type));
  if (rule.kind == InitRule::Kind::kConstant) return values.fill_(rule.value);
  const double bound = std::sqrt(3.0) * rule.value;  // of the same variance
  return values.uniform_(-bound, bound);
}

void check_memory(int64_t parameters, WeightType type) {
  const double needed = static_cast<double>(parameters * weight_bytes(type));
  const auto available = static_cast<double>(available_memory());
  if (needed <= 0.9 * available) return;
  throw runtime_failure(format("the weights need {}, and this process may use {}",
                               format_bytes(needed), format_bytes(available)),
                        "bench", "take a smaller shape or fewer experts");
}

std::vector<std::vector<int32_t>> made_up_inputs(const ModelConfig& config,
                                                 const DecodeBenchOptions& options, int64_t round) {
  const at::Tensor ids = zipf_ids(options.batch, options.input_length, config.vocab_size,
                                  static_cast<uint64_t>(round));
  const int64_t* id = ids.const_data_ptr<int64_t>();
  std::vector<std::vector<int32_t>> inputs;
  for (int64_t r = 0; r < options.batch; ++r, id += options.input_length) {
    inputs.emplace_back(id, id + options.input_length);
  }
  return inputs;
}

/// The most probable id of each row but padding and EOS, appended to it.
StepRows next_rows(const at::Tensor& log_p) {
  StepRows rows;
  for (int64_t r = 0; r < log_p.size(0); ++r) {
    const float* row = log_p.const_data_ptr<float>() + r * log_p.size(1);
    rows.add(r, std::max_element(row + 2, row + log_p.size(1)) - row);
  }
  return rows;
}

struct RoundTimes {
  double first = 0, whole = 0;
  std::vector<double> steps;
};

RoundTimes run_round(InferenceModel& model, const std::vector<std::vector<int32_t>>& inputs,
                     int64_t new_tokens) {
  RoundTimes times;
  const Clock::time_point start = Clock::now();
  CachedDecoder decoder(model, inputs);
  StepRows rows;
  for (size_t i = 0; i < inputs.size(); ++i) rows.add(static_cast<int64_t>(i), kDecoderStartId);
  rows = next_rows(decoder.step(rows));
  times.first = seconds_since(start);
  for (int64_t i = 1; i < new_tokens; ++i) {
    const Clock::time_point begin = Clock::now();
    rows = next_rows(decoder.step(rows));
    times.steps.push_back(seconds_since(begin));
  }
  times.whole = seconds_since(start);
  return times;
}

}  // namespace

WeightType decode_weights(const std::string& precision) {
  switch (parse_precision(precision)) {
    case Precision::kFloat32:
      return WeightType::kFloat32;
    case Precision::kBfloat16Selective:
      return WeightType::kBfloat16;
    default:
      throw usage_error("decoding knows the precisions fp32 and bf16-selective", "bench",
                        "choose one of them");
  }
}

DecodeBenchResult run_decode_bench(const ModelConfig& config, WeightType type,
                                   const DecodeBenchOptions& options) {
  DecodeBenchResult result;
  result.parameters = count_parameters(config);
  check_memory(result.parameters, type);
  result.memory_rate = measure_memory_rates(uncached_working_set()).read;
  at::manual_seed(1);
  const at::ScalarType drawn = type == WeightType::kFloat32 ? at::kFloat : at::kBFloat16;
  InferenceModel model(make_weights(
      config, type, [&](const Parameter& parameter) { return random_values(parameter, drawn); }));
  result.bytes_per_step = model.bytes_per_step();
  run_round(model, made_up_inputs(config, options, 0), options.new_tokens);
  std::vector<double> firsts, rates, steps;
  for (int64_t round = 1; round <= options.rounds; ++round) {
    const RoundTimes times =
        run_round(model, made_up_inputs(config, options, round), options.new_tokens);
    firsts.push_back(times.first);
    rates.push_back(static_cast<double>(options.batch * options.new_tokens) / times.whole);
    steps.insert(steps.end(), times.steps.begin(), times.steps.end());
  }
  result.first_token_seconds = median_of(firsts);
  result.step_seconds = median_of(steps);
  result.tokens_per_second = median_of(rates);
  if (options.batch == 1 && result.step_seconds > 0) {
    result.memory_share =
        static_cast<double>(result.bytes_per_step) / result.step_seconds / result.memory_rate;
  }
  result.peak_memory = peak_memory();
  return result;
}

nlohmann::json to_json(const DecodeRecord& record) {
  const DecodeBenchResult& result = record.result;
  return {{"kind", "decode"},
          {"shape", record.shape},
          {"processor", record.processor},
          {"precision", record.precision},
          {"threads", record.threads},
          {"batch", record.options.batch},
          {"input_length", record.options.input_length},
          {"new_tokens", record.options.new_tokens},
          {"parameters", result.parameters},
          {"bytes_per_step", result.bytes_per_step},
          {"memory_rate", result.memory_rate},
          {"first_token_seconds", result.first_token_seconds},
          {"step_seconds", result.step_seconds},
          {"tokens_per_second", result.tokens_per_second},
          {"memory_share", result.memory_share},
          {"peak_memory", result.peak_memory}};
}

std::string decode_table(const DecodeRecord& record) {
  const DecodeBenchResult& result = record.result;
  std::string text =
      format("{}: {} parameters, batch {}, {} in / {} out, greedy, {}, {} threads\n", record.shape,
             format_count(result.parameters), record.options.batch, record.options.input_length,
             record.options.new_tokens, record.precision, record.threads);
  text += format("tokens/s     {:.1f} (encoder included)\n", result.tokens_per_second);
  text += format("first token  {:.1f} ms\n", result.first_token_seconds * 1e3);
  text += format("step         {:.2f} ms (median)\n", result.step_seconds * 1e3);
  text +=
      format("memory       {:.1f} GB/s read; {} of weights per step of one row\n",
             result.memory_rate * 1e-9, format_bytes(static_cast<double>(result.bytes_per_step)));
  if (record.options.batch == 1) {
    text += format("share        {:.1f} % of what reading the weights allows\n",
                   100 * result.memory_share);
  }
  return text + format("peak memory  {}\n", format_bytes(static_cast<double>(result.peak_memory)));
}

}  // namespace switchyard
