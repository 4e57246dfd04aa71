// What tiny models write, greedily and with beams, against transformers 4.57.6.
#include <gtest/gtest.h>

#include "infer/beam_search.h"
#include "infer/greedy.h"
#include "tests/golden/golden.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

class GoldenDecoding : public testing::Golden {
 protected:
  GoldenDecoding() : model_(model()) {
    const at::Tensor inputs = expected("input_ids");
    for (int64_t r = 0; r < inputs.size(0); ++r) {
      rows_.emplace_back();
      for (int64_t i = 0; i < inputs.size(1); ++i) {
        const auto id = inputs[r][i].item<int64_t>();
        if (id != 0) rows_.back().push_back(static_cast<int32_t>(id));
      }
    }
  }

  /// One row of stored ids without its start id, to EOS.
  static Ids stored(const at::Tensor& row) {
    Ids ids;
    for (int64_t i = 1; i < row.size(0) && row[i].item<int64_t>() != kDecoderEosId; ++i) {
      ids.push_back(static_cast<int32_t>(row[i].item<int64_t>()));
    }
    return ids;
  }

  std::unique_ptr<EncoderDecoder> model_;
  std::vector<Ids> rows_;
};

TEST_P(GoldenDecoding, GreedyIds) {
  const at::Tensor ids = expected("greedy_ids");
  ModelStepDecoder decoder(*model_, rows_);
  const auto found = greedy_decode(decoder, ids.size(1) - 1);
  for (int64_t r = 0; r < ids.size(0); ++r) {
    EXPECT_EQ(found[static_cast<size_t>(r)].ids, stored(ids[r])) << "row " << r;
  }
}

TEST_P(GoldenDecoding, BeamIds) {
  const at::Tensor ids = expected("beam_ids"), scores = expected("beam_scores");
  ModelStepDecoder decoder(*model_, rows_);
  BeamSearchOptions options;
  options.max_new_tokens = ids.size(2) - 1;
  options.num_beams = options.num_return = ids.size(1);
  const auto found = beam_search(decoder, options);
  for (int64_t r = 0; r < ids.size(0); ++r) {
    for (int64_t b = 0; b < ids.size(1); ++b) {
      const Generation& beam = found.at(static_cast<size_t>(r)).at(static_cast<size_t>(b));
      EXPECT_EQ(beam.ids, stored(ids[r][b])) << "row " << r << ", beam " << b;
      EXPECT_NEAR(beam.score, scores[r][b].item<double>(), 1e-5) << "row " << r << ", beam " << b;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenDecoding, testing::kGoldenModels, testing::golden_name);

}  // namespace
}  // namespace switchyard
