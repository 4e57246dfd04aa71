// LossSum: a sum and the count it is over, divided only at the end, so that any split of a batch
// into micro-batches or ranks gives the same number.
#pragma once

namespace switchyard {

struct LossSum {
  double sum = 0;
  double count = 0;

  double mean() const { return count > 0 ? sum / count : 0.0; }
  LossSum& operator+=(const LossSum& other) {
    sum += other.sum;
    count += other.count;
    return *this;
  }
};

}  // namespace switchyard
