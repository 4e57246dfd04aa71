#include "infer/beam_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "infer/function_decoder.h"
#include "infer/greedy.h"

namespace switchyard {
namespace {

using testing::FunctionDecoder;
using Prefix = std::vector<int64_t>;

std::vector<float> log_softmax(const std::vector<double>& logits) {
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  std::vector<float> log_p;
  for (const double logit : logits) log_p.push_back(static_cast<float>(logit - std::log(sum)));
  return log_p;
}

/// Numbers that look random, from a hash of the prefix: tools/make_beam_search_golden.py has the
/// same.
std::vector<float> hashed(uint64_t key, const Prefix& prefix, int64_t vocabulary,
                          double eos_bonus) {
  uint64_t h = key;
  for (const int64_t id : prefix) {
    h = h * 6364136223846793005u + static_cast<uint64_t>(id) + 1442695040888963407u;
  }
  std::vector<double> logits;
  for (int64_t id = 0; id < vocabulary; ++id) {
    uint64_t x = h + static_cast<uint64_t>(id) * 0x9E3779B97F4A7C15u;
    x ^= x >> 31;
    x *= 0xBF58476D1CE4E5B9u;
    x ^= x >> 29;
    logits.push_back(static_cast<double>(x >> 40) * 0x1p-24 * 4);
  }
  logits[kDecoderEosId] += eos_bonus;
  return log_softmax(logits);
}

/// The ids with EOS, as one text.
std::string text_of(const Generation& generation) {
  std::vector<int32_t> ids = generation.ids;
  if (generation.finished) ids.push_back(kDecoderEosId);
  return format("{}", fmt::join(ids, " "));
}

TEST(BeamSearch, FindsWhatTransformersFinds) {
  std::ifstream file(SWITCHYARD_SOURCE_DIR "/tests/golden/beam_search.jsonl");
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const auto golden = nlohmann::json::parse(line);
    const auto keys = golden["keys"].get<std::vector<uint64_t>>();
    const auto vocabulary = golden["vocab_size"].get<int64_t>();
    const auto bonus = golden["eos_bonus"].get<double>();
    FunctionDecoder decoder(
        static_cast<int64_t>(keys.size()), vocabulary, [&](int64_t input, const Prefix& prefix) {
          return hashed(keys[static_cast<size_t>(input)], prefix, vocabulary, bonus);
        });
    BeamSearchOptions options;
    options.max_new_tokens = golden["max_new_tokens"].get<int64_t>();
    options.num_beams = options.num_return = golden["num_beams"].get<int64_t>();
    options.length_penalty = golden["length_penalty"].get<double>();
    const auto found = beam_search(decoder, options);
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto& expected = golden["results"][i];
      ASSERT_EQ(found[i].size(), expected.size()) << line;
      for (size_t b = 0; b < expected.size(); ++b) {
        EXPECT_EQ(text_of(found[i][b]),
                  format("{}", fmt::join(expected[b]["ids"].get<std::vector<int>>(), " ")))
            << line;
        EXPECT_NEAR(found[i][b].score, expected[b]["score"].get<double>(),
                    1e-5 * (1 + std::abs(found[i][b].score)));
      }
    }
  }
  EXPECT_EQ(cases, 150);
}

// F10, the toy problem of t5x/decoding_test.py: staying in A or B scores +1, -1, +1, -1 in turn,
// switching the opposite. Two beams suffice to find both best paths.
TEST(BeamSearch, FindsBothBestPathsOfTheToyProblem) {
  enum : int32_t { kPad, kEnd, kA, kB, kStart };
  static constexpr float kNever = -1e7F;
  FunctionDecoder decoder(2, 5, [](int64_t, const Prefix& prefix) {
    std::vector<float> row(5, kNever);
    const size_t time = prefix.size();
    if (time == 0) {
      row[kStart] = 0;
    } else if (time == 1) {
      row[kA] = row[kB] = 0;
    } else if (time <= 5 && (prefix.back() == kA || prefix.back() == kB)) {
      const float stay = time % 2 == 0 ? 1.0F : -1.0F;
      row[kA] = prefix.back() == kA ? stay : -stay;
      row[kB] = prefix.back() == kB ? stay : -stay;
    } else if (prefix.back() == kA || prefix.back() == kB) {
      row[kEnd] = 0;
    }
    return row;
  });
  const auto found = beam_search(decoder, {7, 2, 0.0, 2});
  for (const auto& paths : found) {
    ASSERT_EQ(paths.size(), 2u);
    EXPECT_EQ(paths[0].ids, (std::vector<int32_t>{kStart, kA, kA, kB, kB, kA}));
    EXPECT_TRUE(paths[0].finished && paths[1].finished);
    EXPECT_EQ(paths[1].ids, (std::vector<int32_t>{kStart, kB, kB, kA, kA, kB}));
    EXPECT_DOUBLE_EQ(paths[0].score, 4);
    EXPECT_DOUBLE_EQ(paths[1].score, 4);
  }
}

// With a beam for every sequence there is, nothing is cut off: the results are all sequences in the
// order of their scores.
TEST(BeamSearch, WithEnoughBeamsIsExhaustive) {
  constexpr int64_t kVocabulary = 4, kLength = 4;
  const auto function = [](int64_t input, const Prefix& prefix) {
    return hashed(static_cast<uint64_t>(input) + 77, prefix, kVocabulary, 0.5);
  };
  for (const double penalty : {-1.0, 0.0, 1.0, 3.0}) {
    std::multimap<double, std::string, std::greater<>> all;
    const std::function<void(const Prefix&, double)> search = [&](const Prefix& prefix,
                                                                  double sum) {
      const auto log_p = function(0, prefix);
      for (int64_t id = 0; id < kVocabulary; ++id) {
        Prefix longer = prefix;
        longer.push_back(id);
        const double total = sum + log_p[static_cast<size_t>(id)];
        const auto length = static_cast<int64_t>(longer.size());
        if (id == kDecoderEosId || length == kLength) {
          all.emplace(total / std::pow(length, penalty), format("{}", fmt::join(longer, " ")));
        } else {
          search(longer, total);
        }
      }
    };
    search({}, 0);
    FunctionDecoder decoder(1, kVocabulary, function);
    const auto found = beam_search(decoder, {kLength, 200, penalty, 200})[0];
    ASSERT_EQ(found.size(), all.size());
    ASSERT_EQ(found.size(), 121u);  // 1 + 3 + 9 that end early, 27 * 4 of full length
    size_t i = 0;
    for (const auto& [score, ids] : all) {
      EXPECT_EQ(text_of(found[i]), ids) << penalty;
      EXPECT_NEAR(found[i].score, score, 1e-12);
      EXPECT_NEAR(found[i].log_prob / std::pow(found[i].length(), penalty), score, 1e-12);
      ++i;
    }
  }
}

TEST(BeamSearch, OneBeamIsGreedy) {
  const auto function = [](int64_t input, const Prefix& prefix) {
    return hashed(static_cast<uint64_t>(input) + 5, prefix, 16, 1.0);
  };
  FunctionDecoder one(6, 16, function), other(6, 16, function);
  const auto beams = beam_search(one, {9, 1, 1.0, 1});
  const auto greedy = greedy_decode(other, 9);
  for (size_t i = 0; i < greedy.size(); ++i) {
    EXPECT_EQ(beams[i][0].ids, greedy[i].ids);
    EXPECT_EQ(beams[i][0].finished, greedy[i].finished);
    EXPECT_DOUBLE_EQ(beams[i][0].log_prob, greedy[i].log_prob);
  }
}

// Once an input has its results, it takes part in no more steps.
TEST(BeamSearch, StopsWhenNothingBetterIsLikely) {
  FunctionDecoder decoder(3, 8, [](int64_t, const Prefix& prefix) {
    return hashed(3, prefix, 8, 20.0);  // EOS at once
  });
  beam_search(decoder, {100, 2, 1.0, 1});
  EXPECT_LE(decoder.steps(), 3);
}

}  // namespace
}  // namespace switchyard
