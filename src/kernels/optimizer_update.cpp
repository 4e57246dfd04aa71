#include "kernels/optimizer_update.h"

namespace switchyard::kernels {

void adamw_update(const AdamWUpdate& arguments) { table<OptimizerUpdateTable>().adamw(arguments); }
void adafactor_update(const AdafactorUpdate& arguments) {
  table<OptimizerUpdateTable>().adafactor(arguments);
}
double sum_of_squares(const float* x, int64_t count) {
  return table<OptimizerUpdateTable>().sum_of_squares(x, count);
}

}  // namespace switchyard::kernels
