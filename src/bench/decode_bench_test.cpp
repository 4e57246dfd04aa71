#include "bench/decode_bench.h"

#include <gtest/gtest.h>

#include "bench/shapes.h"

namespace switchyard {
namespace {

TEST(DecodeBench, MeasuresEveryNumber) {
  ModelConfig config = bench_shape("tiny").recipe.model;
  config.d_model = 32;
  config.d_ff = 64;
  config.d_kv = 8;
  config.vocab_size = 100;
  DecodeRecord record{"tiny", "cpu", "bf16-selective", 1, {2, 5, 4, 2}, {}};
  record.result = run_decode_bench(config, WeightType::kBfloat16, record.options);
  const nlohmann::json json = to_json(record);
  for (const char* name : {"parameters", "bytes_per_step", "memory_rate", "first_token_seconds",
                           "step_seconds", "tokens_per_second", "peak_memory"}) {
    EXPECT_GT(json[name], 0) << name;
  }
  EXPECT_EQ(json["memory_share"], 0);  // several rows may choose several experts
  record.options.batch = 1;
  record.result = run_decode_bench(config, WeightType::kInt8, record.options);
  EXPECT_GT(record.result.memory_share, 0);
  EXPECT_LT(record.result.bytes_per_step, json["bytes_per_step"].get<int64_t>() * 2 / 3);
  EXPECT_NE(decode_table(record).find("% of what reading the weights allows"), std::string::npos);
}

}  // namespace
}  // namespace switchyard
