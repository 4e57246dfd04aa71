#include "data/streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <set>

#include "base/error.h"
#include "data/test_data.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"
#include "text/tokenizer.h"

namespace switchyard {
namespace {

using testing::counting_documents;
using testing::error_of;
using ::testing::HasSubstr;
using testing::write_prepared;
using Ids = std::vector<int32_t>;

constexpr int32_t kVocab = 6000;  // the ids below 5900 are text
constexpr int32_t kFirstSentinel = kVocab - 1, kLastSentinel = kVocab - kNumSentinels;

class StreamsTest : public ::testing::Test {
 protected:
  StreamsTest() { config_.input_length = 64; }

  /// Tokens that count from 10 on, so that each says where it comes from.
  std::string write(const std::string& name, int32_t tokens, const std::string& model = "m") {
    auto documents = counting_documents(tokens, 50);
    for (Ids& document : documents) {
      for (int32_t& id : document) id += 10;
    }
    write_prepared(folder_ / name, documents, kVocab, 300, model);
    return folder_ / name;
  }

  static Ids row(const std::vector<int32_t>& ids, int64_t length, int64_t i) {
    return {ids.begin() + i * length, ids.begin() + (i + 1) * length};
  }

  /// Row i of a batch, checked for its form, put together again as the window it was made of.
  static Ids window(const TokenBatch& batch, int64_t i) {
    const Ids inputs = row(batch.inputs, batch.input_length, i);
    const Ids targets = row(batch.targets, batch.target_length, i);
    EXPECT_EQ(inputs.back(), kEosId);
    EXPECT_EQ(targets.back(), kEosId);
    Ids text;
    size_t at = 0;
    int32_t sentinel = kFirstSentinel;
    for (size_t k = 0; k + 1 < inputs.size(); ++k) {
      EXPECT_NE(inputs[k], kPadId);
      if (inputs[k] < kLastSentinel) {
        text.push_back(inputs[k]);
        continue;
      }
      EXPECT_EQ(inputs[k], sentinel) << "sentinels count down";
      EXPECT_EQ(targets[at++], sentinel--);
      while (targets[at] >= 10 && targets[at] < kLastSentinel) text.push_back(targets[at++]);
    }
    EXPECT_EQ(at + 1, targets.size());
    return text;
  }

  testing::TemporaryFolder folder_;
  DataConfig config_;
};

TEST_F(StreamsTest, RowsAreFullAndHoldTheText) {
  config_.train = {{write("a", 3000), 1.0}};
  const TrainingStream stream(config_, 7);
  EXPECT_EQ(stream.lengths(), (SequenceLengths{64, 14}));
  const TokenBatch batch = stream.batch(5, 40);
  EXPECT_EQ(batch.num_sequences, 40);
  EXPECT_EQ(batch.first_sequence, 5);
  EXPECT_EQ(batch.inputs.size(), 40u * 64);
  EXPECT_EQ(batch.targets.size(), 40u * 14);
  for (int64_t i = 0; i < 40; ++i) {
    const Ids text = window(batch, i);
    ASSERT_EQ(text.size(), 70u);
    for (size_t k = 1; k < text.size(); ++k) {
      EXPECT_EQ(text[k], text[k - 1] == 3009 ? 10 : text[k - 1] + 1) << "the stream is a ring";
    }
  }
}

TEST_F(StreamsTest, EveryEpochHoldsEachWindowOnceInAnOrderOfItsOwn) {
  config_.train = {{write("a", 3000), 1.0}};
  const TrainingStream stream(config_, 7);
  const uint64_t windows = stream.sequences_per_epoch(0);
  ASSERT_EQ(windows, 3000u / 70);
  std::vector<std::vector<int32_t>> orders;
  std::set<int32_t> shifts;
  for (uint64_t epoch = 0; epoch < 4; ++epoch) {
    const TokenBatch batch = stream.batch(epoch * windows, static_cast<int64_t>(windows));
    std::set<int32_t> seen;
    std::vector<int32_t> order;
    for (int64_t i = 0; i < batch.num_sequences; ++i) {
      const Ids text = window(batch, i);
      for (const int32_t id : text) EXPECT_TRUE(seen.insert(id).second) << "twice in an epoch";
      order.push_back(text.front());
    }
    EXPECT_EQ(seen.size(), windows * 70);
    shifts.insert(*std::min_element(order.begin(), order.end()) % 70);
    orders.push_back(order);
  }
  EXPECT_GT(shifts.size(), 1u) << "windows start elsewhere in each epoch";
  for (size_t epoch = 1; epoch < orders.size(); ++epoch) {
    std::vector<int32_t> steps, before;
    for (size_t i = 1; i < orders[epoch].size(); ++i) {
      steps.push_back((orders[epoch][i] - orders[epoch][i - 1] + 3000) % 3000);
      before.push_back((orders[epoch - 1][i] - orders[epoch - 1][i - 1] + 3000) % 3000);
    }
    EXPECT_NE(steps, before);
  }
}

TEST_F(StreamsTest, MasksDifferByEpochAndSequence) {
  config_.train = {{write("a", 70), 1.0}};  // one window an epoch
  const TrainingStream stream(config_, 7);
  std::set<Ids> shapes;
  for (uint64_t i = 0; i < 20; ++i) {
    Ids shape;
    for (const int32_t id : stream.batch(i, 1).inputs) shape.push_back(id >= kLastSentinel);
    shapes.insert(shape);
  }
  EXPECT_GT(shapes.size(), 15u);
}

TEST_F(StreamsTest, AnyBatchCanBeMadeAtOnce) {
  config_.train = {{write("a", 3000), 2.0}, {write("b", 1000), 1.0}};
  const TrainingStream stream(config_, 7), again(config_, 7), other(config_, 8);
  const TokenBatch whole = stream.batch(0, 200);
  for (const uint64_t first : {0, 1, 63, 150}) {
    const TokenBatch part = again.batch(first, 50);
    EXPECT_EQ(part.inputs, Ids(whole.inputs.begin() + static_cast<int64_t>(first) * 64,
                               whole.inputs.begin() + static_cast<int64_t>(first + 50) * 64));
    EXPECT_EQ(part.targets, Ids(whole.targets.begin() + static_cast<int64_t>(first) * 14,
                                whole.targets.begin() + static_cast<int64_t>(first + 50) * 14));
  }
  EXPECT_NE(other.batch(0, 200).inputs, whole.inputs);
  EXPECT_EQ(stream.batch(uint64_t{1} << 40, 3).num_sequences, 3) << "years from now";
}

// "The loader takes under 1 % of a step": even at 50,000 tokens/s a token of a step takes 20 us.
// CPU time of this thread, so that other work on the machine does not count.
TEST_F(StreamsTest, MakingABatchCostsLittle) {
#ifndef NDEBUG
  GTEST_SKIP() << "a bound on time is for optimized builds";
#endif
  config_.train = {{write("costs", 5000), 1.0}};
  config_.input_length = 128;
  const TrainingStream stream(config_, 1);
  const auto cpu_seconds = [] {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  double least = 1;
  for (uint64_t round = 0; round < 5; ++round) {
    const double start = cpu_seconds();
    const TokenBatch batch = stream.batch(16 * round, 16);
    const auto tokens = static_cast<double>(batch.inputs.size() + batch.targets.size());
    least = std::min(least, (cpu_seconds() - start) / tokens);
  }
  EXPECT_LT(least, 0.01 * 20e-6);
}

TEST_F(StreamsTest, MixturesKeepTheirShares) {
  config_.train = {{write("a", 2000), 3.0}, {write("b", 2000, "m"), 1.0}};
  // The second source's ids are told apart by their parity: it holds only even ones.
  auto documents = counting_documents(2000, 50);
  for (Ids& document : documents) {
    for (int32_t& id : document) id = 10 + 2 * id;
  }
  write_prepared(folder_ / "b", documents, kVocab, 300, "m");
  const TrainingStream stream(config_, 1);
  int from_second = 0;
  for (int64_t i = 0; i < 400; ++i) {
    const TokenBatch batch = stream.batch(static_cast<uint64_t>(i), 1);
    const Ids text = window(batch, 0);
    from_second += text[0] % 2 == 0 && text[1] % 2 == 0;
  }
  EXPECT_NEAR(from_second, 100, 2);
}

// 8 times the tokens: twice the sequences at an exponent of a third, and weights come on top.
TEST_F(StreamsTest, SharesMayGoByAPowerOfTheTokens) {
  write("all/large/train", 4000);
  write("all/small/train", 500);
  const auto share_of_large = [&](double exponent, const WeightedPaths& paths) {
    config_.train = paths;
    config_.size_exponent = exponent;
    const TrainingStream stream(config_, 1);
    int large = 0;
    // Windows of the small source begin below 510.
    for (uint64_t i = 0; i < 300; ++i) large += window(stream.batch(i, 1), 0).front() >= 510;
    return large / 300.0;
  };
  const std::string all = folder_ / "all";
  // An eighth of the large source's own windows begins as low.
  EXPECT_NEAR(share_of_large(0, {{all, 1.0}}), 0.5 * 7 / 8, 0.06);
  EXPECT_NEAR(share_of_large(1.0 / 3, {{all, 1.0}}), 2.0 / 3 * 7 / 8, 0.06);
  EXPECT_NEAR(share_of_large(1, {{all, 3.0}}), 8.0 / 9 * 7 / 8, 0.06);
  EXPECT_NEAR(share_of_large(1.0 / 3, {{all + "/large/train", 1.0}, {all + "/small/train", 6.0}}),
              0.25 * 7 / 8, 0.06);
}

TEST_F(StreamsTest, EvaluationIsAlwaysTheSame) {
  const std::string path = write("a", 3000);
  const EvaluationStream stream(config_, path), few(config_, path, 10);
  EXPECT_EQ(stream.num_sequences(), 3000u / 70);
  EXPECT_EQ(few.num_sequences(), 10u);
  const TokenBatch all = stream.batch(0, 1000);
  EXPECT_EQ(all.num_sequences, 3000 / 70) << "fewer at the end";
  EXPECT_EQ(stream.batch(1000, 5).num_sequences, 0);
  EXPECT_EQ(few.batch(0, 10).inputs, Ids(all.inputs.begin(), all.inputs.begin() + 640));
  EXPECT_EQ(few.batch(8, 10).num_sequences, 2);
  std::set<int32_t> seen, few_starts;
  for (int64_t i = 0; i < all.num_sequences; ++i) {
    const Ids text = window(all, i);
    EXPECT_TRUE(seen.insert(text.front()).second);
    if (i < 10) few_starts.insert(text.front());
  }
  EXPECT_LT(*few_starts.begin(), 1000) << "spread over the data";
  EXPECT_GT(*few_starts.rbegin(), 2000);
}

TEST_F(StreamsTest, DataThatDoesNotServeIsRefused) {
  EXPECT_THAT(error_of([&] { TrainingStream(config_, 1); }).what(), HasSubstr("no training data"));
  config_.train = {{write("a", 69), 1.0}};
  const Error too_short = error_of([&] { TrainingStream(config_, 1); });
  EXPECT_EQ(too_short.kind(), ErrorKind::kUsage);
  EXPECT_EQ(too_short.what_part(), "69 tokens do not fill one sequence of 70");
  EXPECT_EQ(error_of([&] { EvaluationStream(config_, folder_ / "a"); }).what_part(),
            too_short.what_part());
  config_.train = {{write("b", 100), 1.0}, {write("c", 100, "another model"), 1.0}};
  EXPECT_THAT(error_of([&] { TrainingStream(config_, 1); }).what(),
              HasSubstr("another tokenizer than the first source; " + (folder_ / "c")));
  config_.train = {{folder_ / "b", 0.0}};
  EXPECT_EQ(error_of([&] { TrainingStream(config_, 1); }).kind(), ErrorKind::kUsage);
}

}  // namespace
}  // namespace switchyard
