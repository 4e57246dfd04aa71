// What shows only over many steps: the same numbers on other threads, and memory that stays.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/threads.h"
#include "train/test_recipes.h"
#include "train/train_step.h"

namespace switchyard {
namespace {

/// Random ids of the shape, other ones each step.
Batch batch_of(int64_t rows, int64_t inputs, int64_t targets, int64_t step) {
  const auto ids = [&](int64_t length, uint64_t which) {
    const at::Tensor all = at::empty({rows, length}, at::kLong);
    const RandomStream random(1, kRandomTest, static_cast<uint64_t>(step), which);
    for (int64_t i = 0; i < all.numel(); ++i) {
      all.mutable_data_ptr<int64_t>()[i] =
          1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(i), 99));
    }
    return all;
  };
  return make_batch(ids(inputs, 1), ids(targets, 2));
}

class Training {
 public:
  explicit Training(const Recipe& recipe)
      : recipe_(recipe),
        model_(recipe.model, parse_precision(recipe.train.precision)),
        optimizer_(make_optimizer(recipe.optimizer, model_.parameters())) {
    model_.parameters().initialize(1);
  }
  double step(const Batch& batch) {
    return train_step(model_, *optimizer_, batch, recipe_, ++step_).loss;
  }

 private:
  Recipe recipe_;
  EncoderDecoder model_;
  std::unique_ptr<Optimizer> optimizer_;
  int64_t step_ = 0;
};

class Threads {
 public:
  explicit Threads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~Threads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

class ManySteps : public ::testing::TestWithParam<const char*> {};

TEST_P(ManySteps, ThreadsGiveTheSameLosses) {
  Recipe recipe = testing::small_recipe();
  recipe.train.precision = GetParam();
  recipe.optimizer.learning_rate = 0.01;
  const auto losses = [&](int threads) {
    const Threads scope(threads);
    Training training(recipe);
    std::vector<double> all;
    for (int64_t step = 1; step <= 20; ++step)
      all.push_back(training.step(batch_of(8, 40, 17, step)));
    return all;
  };
  const std::vector<double> one = losses(1);
  for (const int threads : {1, 2, 3}) {
    const std::vector<double> several = losses(threads);
    EXPECT_EQ(several, losses(threads)) << threads << " threads do not repeat";
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_NEAR(several[i], one[i], 1e-6 * one[i]) << threads << " threads, step " << i + 1;
    }
  }
}

// Shapes change at every step, the largest come early: nothing may keep memory for each of them. By
// the peak of the process, which ctest gives to this test alone.
TEST_P(ManySteps, RaggedShapesLeaveMemoryFlat) {
  constexpr int64_t kSteps = 2000, kSettled = 100, kMaxRows = 6, kMaxInputs = 48, kMaxTargets = 24;
  Recipe recipe = testing::small_recipe();
  recipe.train.precision = GetParam();
  recipe.model.moe.group_sequences = 1;
  recipe.optimizer.learning_rate = 0.001;
  Training training(recipe);
  unsigned long long settled = 0;
  for (int64_t step = 1; step <= kSteps; ++step) {
    const RandomStream random(7, kRandomTest, static_cast<uint64_t>(step));
    const auto up_to = [&](int64_t most, uint64_t which) {
      const uint64_t drawn = random.below(which, static_cast<uint64_t>(most));
      return step <= 3 ? most : 1 + static_cast<int64_t>(drawn);
    };
    const Batch batch =
        batch_of(up_to(kMaxRows, 0), up_to(kMaxInputs, 1), up_to(kMaxTargets, 2), step);
    ASSERT_TRUE(std::isfinite(training.step(batch))) << "step " << step;
    if (step == kSettled) settled = peak_memory();
  }
  constexpr unsigned long long kSlack = 2u << 20;  // of the allocator; 1,900 steps at 1.1 KiB each
#ifndef __SANITIZE_ADDRESS__                       // which keeps what was freed
  EXPECT_LE(peak_memory(), settled + kSlack);
#endif
  std::cout << "peak memory after 100 steps " << settled << ", after 2000 " << peak_memory()
            << "\n";
}

INSTANTIATE_TEST_SUITE_P(Precisions, ManySteps, ::testing::Values("fp32", "bf16-selective"),
                         [](const auto& name) {
                           return name.param == std::string("fp32") ? "fp32" : "bf16";
                         });

}  // namespace
}  // namespace switchyard
