#include "data/loader.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/error.h"
#include "data/streams.h"
#include "data/test_data.h"
#include "tests/temporary_folder.h"

namespace switchyard {
namespace {

using testing::counting_documents;
using testing::write_prepared;

class LoaderTest : public ::testing::Test {
 protected:
  LoaderTest() {
    write_prepared(folder_ / "data", counting_documents(3000, 50), 6000, 300);
    config_.train = {{folder_ / "data", 1.0}};
    config_.input_length = 64;
    stream_ = std::make_unique<TrainingStream>(config_, 7);
    options_.batch_sequences = 8;
  }

  testing::TemporaryFolder folder_;
  DataConfig config_;
  std::unique_ptr<TrainingStream> stream_;
  LoaderOptions options_;
};

TEST_F(LoaderTest, SameBatchesInOrderForAnyNumberOfThreads) {
  for (const int64_t threads : {1, 2, 3, 8}) {
    options_.threads = threads;
    options_.batches_ahead = 1 + threads % 2;
    Loader loader(*stream_, options_);
    for (uint64_t step = 0; step < 40; ++step) {
      EXPECT_EQ(loader.step(), step);
      const TokenBatch batch = loader.next();
      const TokenBatch expected = stream_->batch(step * 8, 8);
      ASSERT_EQ(batch.first_sequence, expected.first_sequence);
      ASSERT_EQ(batch.inputs, expected.inputs);
      ASSERT_EQ(batch.targets, expected.targets);
    }
  }
}

TEST_F(LoaderTest, GoesOnAtAnyStep) {
  options_.threads = 3;
  options_.first_step = 1000001;
  Loader loader(*stream_, options_);
  for (uint64_t step = 1000001; step < 1000006; ++step) {
    EXPECT_EQ(loader.next().inputs, stream_->batch(step * 8, 8).inputs);
  }
  EXPECT_EQ(loader.step(), 1000006u);
}

TEST_F(LoaderTest, BatchesMayBeLeftOut) {
  options_.skipped.add(2, 5);
  options_.skipped.add(7, 8);
  for (const uint64_t first_step : {0, 3}) {
    options_.first_step = first_step;
    options_.threads = 3;
    Loader loader(*stream_, options_);
    const uint64_t others[] = {0, 1, 5, 6, 8, 9};
    for (uint64_t step = first_step; step < 6; ++step) {
      const TokenBatch batch = loader.next();
      EXPECT_EQ(batch.first_sequence, static_cast<int64_t>(others[step] * 8));
      EXPECT_EQ(batch.inputs, stream_->batch(others[step] * 8, 8).inputs);
    }
  }
}

TEST_F(LoaderTest, RanksTakeTheirRows) {
  options_.first_row = 2;
  options_.num_rows = 3;
  Loader middle(*stream_, options_);
  options_.first_row = 5;
  options_.num_rows = 0;
  Loader rest(*stream_, options_);
  for (uint64_t step = 0; step < 5; ++step) {
    const TokenBatch some = middle.next();
    EXPECT_EQ(some.first_sequence, static_cast<int64_t>(step) * 8 + 2);
    EXPECT_EQ(some.inputs, stream_->batch(step * 8 + 2, 3).inputs);
    EXPECT_EQ(rest.next().inputs, stream_->batch(step * 8 + 5, 3).inputs);
  }
}

TEST_F(LoaderTest, CanBeLeftAtAnyTime) {
  options_.threads = 4;
  for (int batches = 0; batches < 5; ++batches) {
    Loader loader(*stream_, options_);
    for (int i = 0; i < batches; ++i) loader.next();
  }
}

TEST_F(LoaderTest, DamageIsRethrownInTheStepThatMeetsIt) {
  const std::string path = folder_ / "data/shard-00004.tokens";
  std::string bytes = read_file(path);
  for (char& byte : bytes) byte = '\xFF';
  testing::put_file(path, bytes);
  const TrainingStream damaged(config_, 7);
  const auto first_bad_step = [&] {
    for (uint64_t step = 0;; ++step) {
      try {
        damaged.batch(step * 8, 8);
      } catch (const Error&) {
        return step;
      }
    }
  }();
  for (const int64_t threads : {1, 3}) {
    options_.threads = threads;
    Loader loader(damaged, options_);
    for (uint64_t step = 0; step < first_bad_step; ++step) loader.next();
    EXPECT_THROW(loader.next(), Error);
  }
}

}  // namespace
}  // namespace switchyard
