// Limits of repetition by the examples of transformers 4.57's logits processors, prefixes, stops
// and listeners over made-up tables.
#include "infer/output_options.h"

#include <gtest/gtest.h>

#include <cmath>

#include "infer/beam_search.h"
#include "infer/function_decoder.h"
#include "infer/greedy.h"
#include "infer/sampling.h"

namespace switchyard {
namespace {

using testing::FunctionDecoder;

OutputOptions limits(double penalty, int64_t ngram) {
  OutputOptions options;
  options.repetition_penalty = penalty;
  options.no_repeat_ngram = ngram;
  return options;
}

std::vector<float> limited(std::vector<float> scores, const std::vector<int32_t>& ids,
                           const OutputOptions& options) {
  limit_repetition(scores, ids, options);
  return scores;
}

TEST(OutputOptions, RepetitionPenaltyMovesScoresAwayOnce) {
  EXPECT_EQ(limited({4, -3, 2, -1, 0}, {0, 1, 1, 0}, limits(2.0, 0)),
            (std::vector<float>{2, -6, 2, -1, 0}));
  EXPECT_EQ(limited({4, -4, 2, -1, 0}, {1, 4}, limits(0.5, 0)),
            (std::vector<float>{4, -2, 2, -1, 0}));
}

/// Ids that are ruled out.
std::vector<int64_t> banned(const std::vector<int32_t>& ids, int64_t ngram) {
  const std::vector<float> scores = limited(std::vector<float>(6, 1.0f), ids, limits(1.0, ngram));
  std::vector<int64_t> out;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isinf(scores[i])) out.push_back(static_cast<int64_t>(i));
  }
  return out;
}

// As test_no_repeat_ngram_dist_processor of transformers, and its edges.
TEST(OutputOptions, NoSequenceComesTwice) {
  EXPECT_EQ(banned({1, 1, 2, 1}, 2), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(banned({0, 1, 0, 1}, 2), (std::vector<int64_t>{0}));
  EXPECT_EQ(banned({1, 1, 2, 1}, 3), (std::vector<int64_t>{}));
  EXPECT_EQ(banned({0, 1, 0, 1}, 3), (std::vector<int64_t>{0}));
  EXPECT_EQ(banned({0, 3, 3}, 1), (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(banned({4}, 2), (std::vector<int64_t>{}));
  EXPECT_EQ(banned({4}, 4), (std::vector<int64_t>{}));
}

/// Prefers id 2, then 3, then 4; EOS is unlikely.
FunctionDecoder stubborn(int64_t inputs = 1) {
  return FunctionDecoder(inputs, 6, [](int64_t, const std::vector<int64_t>&) {
    return std::vector<float>{-9, -8, -0.5f, -1, -2, -9};
  });
}

TEST(OutputOptions, GreedyDecodingObeysThem) {
  FunctionDecoder decoder = stubborn();
  const Generation made = greedy_decode(decoder, 5, limits(1.0, 2))[0];
  EXPECT_EQ(made.ids, (std::vector<int32_t>{2, 2, 3, 2, 4}));
  EXPECT_NEAR(made.log_prob, -0.5 - 0.5 - 1 - 0.5 - 2, 1e-6);  // the model's own
  ASSERT_EQ(made.token_log_probs.size(), 5u);
  EXPECT_EQ(made.token_log_probs[2], -1);
  FunctionDecoder again = stubborn();
  // Scores: id 2 -0.5 -> -1.5, then 3 -1 -> -3, then 2 again.
  EXPECT_EQ(greedy_decode(again, 4, limits(3.0, 0))[0].ids, (std::vector<int32_t>{2, 3, 2, 2}));
}

TEST(OutputOptions, BeamsObeyThem) {
  FunctionDecoder decoder = stubborn();
  BeamSearchOptions options;
  options.max_new_tokens = 3;
  options.num_beams = 2;
  options.output = limits(1.0, 1);
  const Generation best = beam_search(decoder, options)[0][0];
  EXPECT_EQ(best.ids, (std::vector<int32_t>{2, 3, 4}));
  EXPECT_NEAR(best.log_prob, -3.5, 1e-6);
  FunctionDecoder again = stubborn();
  options.output = limits(4.0, 0);
  const Generation penalized = beam_search(again, options)[0][0];
  // The score adds what was ranked, log_prob the model's own.
  EXPECT_EQ(penalized.ids, (std::vector<int32_t>{2, 3, 2}));
  EXPECT_NEAR(penalized.score, (-0.5 - 1 - 2) / 3, 1e-6);
  EXPECT_NEAR(penalized.log_prob, -2, 1e-6);
}

TEST(OutputOptions, OutputsBeginWithThePrefix) {
  OutputOptions options;
  options.prefix = {5, 4};
  const auto follows = [](int64_t, const std::vector<int64_t>& prefix) {
    std::vector<float> row(6, -5.0f);
    if (prefix.size() >= 2) row[prefix == std::vector<int64_t>{5, 4} ? 3 : 1] = -0.1f;
    return row;
  };
  FunctionDecoder greedy(2, 6, follows);
  for (const Generation& made : greedy_decode(greedy, 4, options)) {
    EXPECT_EQ(made.ids, (std::vector<int32_t>{5, 4, 3}));
    EXPECT_TRUE(made.finished);
    EXPECT_EQ(made.length(), 2);
    EXPECT_NEAR(made.log_prob, -0.2, 1e-6);
  }
  FunctionDecoder beams(1, 6, follows);
  BeamSearchOptions beam_options;
  beam_options.max_new_tokens = 4;
  beam_options.num_beams = 2;
  beam_options.output = options;
  const Generation best = beam_search(beams, beam_options)[0][0];
  EXPECT_EQ(best.ids, (std::vector<int32_t>{5, 4, 3}));
  EXPECT_NEAR(best.score, -0.1, 1e-6);
}

TEST(OutputOptions, StopsWhereAsked) {
  OutputOptions options;
  options.stop = [](const std::vector<int32_t>& ids) { return ids.size() == 2; };
  FunctionDecoder greedy = stubborn();
  const Generation made = greedy_decode(greedy, 9, options)[0];
  EXPECT_EQ(made.ids, (std::vector<int32_t>{2, 2}));
  EXPECT_TRUE(made.stopped);
  EXPECT_FALSE(made.finished);
  FunctionDecoder beams = stubborn();
  BeamSearchOptions beam_options;
  beam_options.max_new_tokens = 9;
  beam_options.num_beams = beam_options.num_return = 2;
  beam_options.output = options;
  const auto found = beam_search(beams, beam_options)[0];
  EXPECT_EQ(found[0].ids, (std::vector<int32_t>{2, 2}));
  EXPECT_TRUE(found[0].stopped);
  EXPECT_EQ(found[1].ids.size(), 2u);
}

TEST(OutputOptions, ListenersHearEveryId) {
  FunctionDecoder decoder(2, 6, [](int64_t input, const std::vector<int64_t>& prefix) {
    std::vector<float> row(6, -5.0f);
    row[prefix.size() == static_cast<size_t>(1 + input) ? 1 : 4] = -0.25f;
    return row;
  });
  std::vector<std::vector<int64_t>> heard(2);
  std::vector<int> ends(2, 0);
  greedy_decode(decoder, 9, {}, [&](const WrittenId& written) {
    heard[written.input].push_back(written.id);
    ends[written.input] += written.last;
    EXPECT_EQ(written.log_prob, -0.25);
  });
  EXPECT_EQ(heard[0], (std::vector<int64_t>{4, 1}));
  EXPECT_EQ(heard[1], (std::vector<int64_t>{4, 4, 1}));
  EXPECT_EQ(ends, (std::vector<int>{1, 1}));
}

TEST(OutputOptions, MinPKeepsSharesOfTheLargest) {
  const std::vector<float> row = {std::log(0.5f), std::log(0.24f), std::log(0.16f), std::log(0.1f)};
  SamplingOptions options;
  options.min_p = 0.3;  // 0.15
  EXPECT_EQ(sample_id(row, options, 0.9999), 2);
  options.min_p = 0.4;  // 0.2
  EXPECT_EQ(sample_id(row, options, 0.9999), 1);
  options.min_p = 1.0;
  EXPECT_EQ(sample_id(row, options, 0.9999), 0);
  options.min_p = 0.4;
  options.temperature = 2.0;  // the second's share of the first is 0.69, the third's 0.57
  EXPECT_EQ(sample_id(row, options, 0.9999), 3);
}

}  // namespace
}  // namespace switchyard
