// train.max_minutes: ends a process early enough that its last checkpoint is written in time.
#pragma once

#include <chrono>

namespace switchyard {

/// Not thread-safe.
class TimeLimit {
 public:
  using Clock = std::chrono::steady_clock;

  /// `minutes` of this process from now on; 0: no limit. `save_seconds`: what a checkpoint is
  /// thought to take until one has been measured.
  TimeLimit(double minutes, double save_seconds);

  void add_step(double seconds);
  void add_evaluation(double seconds) { evaluation_ = seconds; }
  /// A checkpoint is being written from now on; the next one must wait for it.
  void begin_save() { saving_ = true; }
  /// It is written, and took so long.
  void add_save(double seconds) {
    save_ = seconds;
    saving_ = false;
  }

  /// True when one more step, an evaluation after it (if `evaluation`), the checkpoint on its way
  /// (if there is one) and another might end after the limit. The slowest of the last steps counts,
  /// and half as much again for the rest.
  bool reached(bool evaluation) const { return reached(evaluation, seconds_gone()); }
  bool reached(bool evaluation, double seconds_gone) const;

 private:
  double seconds_gone() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

  Clock::time_point start_ = Clock::now();
  double limit_;  // seconds
  double step_ = 0, evaluation_ = 0, save_;
  bool saving_ = false;
};

}  // namespace switchyard
