#include "data/example_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "data/loader.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

/// Example i: an input of `name` + i repeated, then EOS; its target likewise.
ExampleIds examples(int32_t name, size_t count, int64_t longest_input, int64_t longest_target) {
  ExampleIds result;
  const RandomStream random(5, kRandomTest, static_cast<uint64_t>(name));
  for (size_t i = 0; i < count; ++i) {
    const auto length = [&](uint64_t draw, int64_t most) {
      return static_cast<size_t>(1 + random.below(draw, static_cast<uint64_t>(most) - 1));
    };
    Ids input(length(2 * i, longest_input), name + static_cast<int32_t>(i));
    Ids target(length(2 * i + 1, longest_target), name + static_cast<int32_t>(i));
    input.push_back(1);
    target.push_back(1);
    result.add(input, target);
  }
  return result;
}

ExampleRowOptions options(bool pack, uint64_t seed = 3) { return {{64, 24}, pack, seed}; }

/// Names of the examples of row r, after a look at its form.
std::vector<int32_t> names_in_row(const TokenBatch& batch, int64_t r) {
  std::map<int32_t, std::array<Ids, 2>> segments;
  const auto collect = [&](const Ids& ids, const Ids& of, int64_t length, size_t side) {
    int32_t last = 1;
    bool padding = false;
    for (int64_t k = r * length; k < (r + 1) * length; ++k) {
      const auto at = static_cast<size_t>(k);
      EXPECT_EQ(ids[at] == 0, of[at] == 0) << "padding has segment 0";
      padding |= of[at] == 0;
      if (padding) {
        EXPECT_EQ(ids[at], 0) << "padding is at the end";
        continue;
      }
      EXPECT_GE(of[at], last) << "segments go up";
      last = of[at];
      segments[of[at]][side].push_back(ids[at]);
    }
  };
  collect(batch.inputs, batch.input_segments, batch.input_length, 0);
  collect(batch.targets, batch.target_segments, batch.target_length, 1);
  std::vector<int32_t> names;
  for (const auto& [segment, sides] : segments) {
    EXPECT_EQ(segment, static_cast<int32_t>(names.size()) + 1);
    const int32_t name = sides[0].front();
    for (const Ids& side : sides) {
      EXPECT_EQ(side.back(), 1) << "EOS";
      EXPECT_THAT(Ids(side.begin(), side.end() - 1), ::testing::Each(name))
          << "one example a segment, the same on both sides";
    }
    names.push_back(name);
  }
  return names;
}

TEST(ExamplePacking, EveryExampleOnceAndRowsNearlyFull) {
  const ExampleIds all = examples(100, 2000, 20, 8);
  std::vector<SequenceLengths> lengths;
  std::vector<uint32_t> order;
  int64_t tokens = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    lengths.push_back(all.lengths(i));
    order.push_back(static_cast<uint32_t>(all.size() - 1 - i));
    tokens += lengths.back().inputs;
  }
  const PackedRows rows = pack_examples(lengths, order, {64, 64});
  std::set<uint32_t> seen;
  for (size_t r = 0; r < rows.size(); ++r) {
    SequenceLengths sum;
    for (const uint32_t i : rows.row(r)) {
      EXPECT_TRUE(seen.insert(i).second);
      sum.inputs += lengths[i].inputs;
      sum.targets += lengths[i].targets;
    }
    EXPECT_LE(sum.inputs, 64);
    EXPECT_LE(sum.targets, 64);
  }
  EXPECT_EQ(seen.size(), all.size());
  EXPECT_GT(static_cast<double>(tokens) / static_cast<double>(64 * rows.size()), 0.93);
}

TEST(ExampleStreamTest, AnEpochHasEveryExampleOnceInAnOrderOfItsOwn) {
  for (const bool pack : {false, true}) {
    const size_t count = 50;
    std::vector<ExampleSource> sources;
    sources.push_back({examples(100, count, 20, 8), 1});
    const ExampleStream stream(std::move(sources), options(pack));
    std::vector<int32_t> names;
    for (uint64_t row = 0; names.size() < 3 * count; ++row) {
      const std::vector<int32_t> own = names_in_row(stream.batch(row, 1), 0);
      names.insert(names.end(), own.begin(), own.end());
    }
    std::vector<std::vector<int32_t>> epochs;
    for (size_t e = 0; e < 3; ++e) {
      epochs.emplace_back(names.begin() + static_cast<long>(e * count),
                          names.begin() + static_cast<long>((e + 1) * count));
      EXPECT_EQ(std::set<int32_t>(epochs[e].begin(), epochs[e].end()).size(), count);
    }
    EXPECT_NE(epochs[0], epochs[1]);
    EXPECT_NE(epochs[1], epochs[2]);
  }
}

TEST(ExampleStreamTest, ASequenceIsAFunctionOfItsNumber) {
  for (const bool pack : {false, true}) {
    const auto make = [&](uint64_t seed) {
      std::vector<ExampleSource> sources;
      sources.push_back({examples(100, 30, 20, 8), 1});
      sources.push_back({examples(1000, 200, 30, 12), 2});
      return ExampleStream(std::move(sources), options(pack, seed));
    };
    const ExampleStream a = make(3), b = make(3), other = make(4);
    std::vector<std::vector<int32_t>> in_order;
    for (uint64_t row = 0; row < 120; ++row) {
      in_order.push_back(names_in_row(a.batch(row, 1), 0));
    }
    const TokenBatch late = b.batch(90, 8);  // as after a restart: nothing before was asked for
    for (int64_t r = 0; r < 8; ++r) {
      EXPECT_EQ(names_in_row(late, r), in_order[static_cast<size_t>(90 + r)]);
    }
    EXPECT_EQ(names_in_row(b.batch(5, 1), 0), in_order[5]) << "and back";
    EXPECT_EQ(a.fingerprint(), b.fingerprint());
    EXPECT_NE(other.batch(0, 8).inputs, a.batch(0, 8).inputs);
  }
}

TEST(ExampleStreamTest, WeightsAreSharesOfExamplesNotOfRows) {
  std::vector<ExampleSource> sources;
  sources.push_back({examples(100, 300, 6, 3), 1});      // many to a row
  sources.push_back({examples(10000, 300, 60, 20), 3});  // one or two
  const ExampleStream stream(std::move(sources), options(true));
  double first = 0, all = 0;
  const TokenBatch batch = stream.batch(0, 3000);
  for (int64_t r = 0; r < 3000; ++r) {
    for (const int32_t name : names_in_row(batch, r)) {
      first += name < 10000;
      ++all;
    }
  }
  EXPECT_NEAR(first / all, 0.25, 0.02);
  EXPECT_NEAR(stream.examples_per_row(), all / 3000, 0.05 * all / 3000);
}

TEST(ExampleStreamTest, RowsThatAreNotPackedAreCutToTheLongest) {
  std::vector<ExampleSource> sources;
  sources.push_back({examples(100, 60, 20, 8), 1});
  const ExampleStream stream(std::move(sources), options(false));
  const TokenBatch batch = stream.batch(0, 16);
  EXPECT_EQ(batch.input_length, 32);
  EXPECT_EQ(batch.target_length, 24) << "no longer than the room";
  EXPECT_EQ(stream.batch(0, 16).input_segments[0], 1);
}

// As ranks ask for their rows of a batch: what they compute must not depend on how many they are.
TEST(ExampleStreamTest, PartsOfABatchAreAsWideAsTheWhole) {
  std::vector<ExampleSource> sources;
  sources.push_back({examples(100, 60, 64, 24), 1});
  ExampleRowOptions wide = options(false);
  wide.batch_rows = 4;
  const ExampleStream stream(std::move(sources), wide);
  std::set<int64_t> widths;
  for (uint64_t first = 0; first < 60; first += 4) {
    const TokenBatch whole = stream.batch(first, 4);
    widths.insert(whole.input_length);
    Ids parts;
    for (uint64_t row = first; row < first + 4; ++row) {
      const TokenBatch part = stream.batch(row, 1);
      EXPECT_EQ(part.target_length, whole.target_length);
      parts.insert(parts.end(), part.inputs.begin(), part.inputs.end());
    }
    EXPECT_EQ(parts, whole.inputs);
  }
  EXPECT_GT(widths.size(), 1);
}

TEST(ExampleStreamTest, LoaderGivesTheSameOnAnyNumberOfThreads) {
  std::vector<ExampleSource> sources;
  sources.push_back({examples(100, 30, 20, 8), 1});
  const ExampleStream stream(std::move(sources), options(true));
  std::vector<Ids> seen[2];
  for (const int64_t threads : {1, 4}) {
    LoaderOptions loading;
    loading.batch_sequences = 4;
    loading.threads = threads;
    Loader loader(stream, loading);
    for (int i = 0; i < 40; ++i) seen[threads > 1].push_back(loader.next().inputs);
  }
  EXPECT_EQ(seen[0], seen[1]);
}

TEST(HeldOutExamplesTest, EveryExampleOnceHoweverItIsCut) {
  for (const bool pack : {false, true}) {
    const HeldOutExamples held_out(examples(100, 70, 20, 8), options(pack));
    std::vector<int32_t> names;
    for (uint64_t at = 0; at < held_out.num_sequences(); at += 7) {
      const TokenBatch batch = held_out.batch(at, 7);
      EXPECT_EQ(batch.input_length, held_out.lengths().inputs) << "one width for all";
      for (int64_t r = 0; r < batch.num_sequences; ++r) {
        const std::vector<int32_t> own = names_in_row(batch, r);
        names.insert(names.end(), own.begin(), own.end());
      }
    }
    EXPECT_EQ(names.size(), 70);
    EXPECT_EQ(std::set<int32_t>(names.begin(), names.end()).size(), 70);
  }
}

}  // namespace
}  // namespace switchyard
