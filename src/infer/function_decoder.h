// A decoder for tests: log-probabilities are a function of input and prefix, written down by the
// test.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "infer/step_decoder.h"

namespace switchyard::testing {

class FunctionDecoder : public StepDecoder {
 public:
  /// (input, prefix without the start id) -> a number per id.
  using Function = std::function<std::vector<float>(int64_t, const std::vector<int64_t>&)>;

  FunctionDecoder(int64_t num_inputs, int64_t vocab_size, Function function)
      : num_inputs_(num_inputs), vocab_size_(vocab_size), function_(std::move(function)) {
    for (int64_t i = 0; i < num_inputs; ++i) rows_.push_back({i, {}});
  }

  int64_t num_inputs() const override { return num_inputs_; }
  int64_t vocab_size() const override { return vocab_size_; }
  at::Tensor step(const StepRows& rows) override {
    std::vector<Row> next;
    std::vector<float> numbers;
    for (size_t r = 0; r < rows.size(); ++r) {
      next.push_back(rows_.at(static_cast<size_t>(rows.parents[r])));
      if (started_) {
        EXPECT_NE(rows.ids[r], kDecoderEosId) << "a row that has ended goes on";
        next.back().prefix.push_back(rows.ids[r]);
      } else {
        EXPECT_EQ(rows.ids[r], kDecoderStartId);
      }
      const auto own = function_(next.back().input, next.back().prefix);
      numbers.insert(numbers.end(), own.begin(), own.end());
    }
    started_ = true;
    ++steps_;
    rows_ = std::move(next);
    return at::tensor(numbers).view({static_cast<int64_t>(rows_.size()), vocab_size_});
  }
  int64_t steps() const { return steps_; }

 private:
  struct Row {
    int64_t input;
    std::vector<int64_t> prefix;
  };
  int64_t num_inputs_, vocab_size_;
  Function function_;
  std::vector<Row> rows_;
  bool started_ = false;
  int64_t steps_ = 0;
};

}  // namespace switchyard::testing
