// What tiny models write, greedily and with beams, against transformers 4.57.6: with and without
// cache, in a batch and alone.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "infer/beam_search.h"
#include "infer/cached_decoder.h"
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

  /// What transformers writes with its cache, which lets no expert run out of capacity.
  nlohmann::json cached_expected() const {
    std::ifstream file(SWITCHYARD_SOURCE_DIR "/tests/golden/cached_decoding.jsonl");
    for (std::string line; std::getline(file, line);) {
      nlohmann::json object = nlohmann::json::parse(line);
      if (object["model"] == GetParam()) return object;
    }
    ADD_FAILURE() << GetParam() << " is not among the golden numbers";
    return {};
  }

  /// Of row `first` on.
  static void expect_cached_ids(InferenceModel& model, const std::vector<Ids>& inputs,
                                const nlohmann::json& numbers, size_t first) {
    CachedDecoder greedy_decoder(model, inputs), beam_decoder(model, inputs);
    const auto greedy = greedy_decode(greedy_decoder, kNewTokens);
    BeamSearchOptions options;
    options.max_new_tokens = kNewTokens;
    options.num_beams = options.num_return = static_cast<int64_t>(numbers["beam_ids"][0].size());
    const auto beams = beam_search(beam_decoder, options);
    for (size_t r = 0; r < inputs.size(); ++r) {
      EXPECT_EQ(greedy[r].ids, stored(numbers["greedy_ids"][first + r])) << "row " << first + r;
      for (size_t b = 0; b < beams[r].size(); ++b) {
        EXPECT_EQ(beams[r][b].ids, stored(numbers["beam_ids"][first + r][b]))
            << "row " << first + r << ", beam " << b;
        EXPECT_NEAR(beams[r][b].score, numbers["beam_scores"][first + r][b].get<double>(), 1e-5);
      }
    }
  }

  static Ids stored(const nlohmann::json& row) {
    const auto ids = row.get<std::vector<int64_t>>();
    return stored(at::tensor(ids));
  }

  static constexpr int64_t kNewTokens = 8;
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

TEST_P(GoldenDecoding, CachedIds) {
  InferenceModel model(map_weights(directory_, Precision::kFloat32));
  const nlohmann::json numbers = cached_expected();
  expect_cached_ids(model, rows_, numbers, 0);
  for (size_t r = 0; r < rows_.size(); ++r) expect_cached_ids(model, {rows_[r]}, numbers, r);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenDecoding, testing::kGoldenModels, testing::golden_name);

}  // namespace
}  // namespace switchyard
