// Optimizer updates of one parameter: AdamW (Loshchilov and Hutter 2019) and Adafactor (Shazeer and
// Stern 2018). Everything is updated in place: the optimizer's state, the float32 master and the
// bfloat16 copy that products read. Any alignment; no two arrays may overlap. Uses the threads of
// OpenMP; results do not depend on their number.
#pragma once

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dispatch.h"

namespace switchyard::kernels {

struct AdamWUpdate {
  const float* gradient;  // [N], times gradient_scale
  float* value;           // [N]
  float *first, *second;  // [N] running means of g and g^2
  Bf16* compute;          // [N] or null: the new value, rounded
  int64_t count;
  double gradient_scale;
  double beta1, beta2;
  double correction1, correction2;  // 1 - beta^step
  double epsilon, rate, decay;
  double* change_squares;  // [1] or null: sum of squares of what the values changed by
};

/// M independent matrices, each factored, clipped and scaled by itself.
struct AdafactorUpdate {
  const float* gradient;  // [M, R, C], times gradient_scale
  float* value;           // [M, R, C]
  float* rows;            // [M, R] running means of g^2 over each row; [M, R, C] if not factored
  float* columns;         // [M, C] running means over each column; null: not factored
  float* moment;          // [M, R, C] running mean of the steps taken, or null: no momentum
  Bf16* compute;          // [M, R, C] or null: the new value, rounded
  int64_t num_matrices, num_rows, num_columns;
  double gradient_scale;
  double beta2;           // weight of the old state
  double clip_threshold;  // largest root mean square of an update before `rate`
  bool scale_parameter;   // rate relative to the root mean square of the matrix, at least 1e-3
  double rate, decay;
  double momentum;         // weight of the old mean
  double* change_squares;  // [M] or null: sum of squares of what the values changed by
};

struct OptimizerUpdateTable {
  void (*adamw)(const AdamWUpdate&);
  void (*adafactor)(const AdafactorUpdate* updates, int64_t count);
  double (*sum_of_squares)(const float* x, int64_t count);
};

void adamw_update(const AdamWUpdate& arguments);
/// All parameters at once: most are too small to share among threads one by one.
void adafactor_update(const AdafactorUpdate* updates, int64_t count);
/// Summed in double.
double sum_of_squares(const float* x, int64_t count);

}  // namespace switchyard::kernels
