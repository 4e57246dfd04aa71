#include "kernels/optimizer_update.h"

namespace switchyard::kernels {

void adamw_update(const AdamWUpdate& arguments) { table<OptimizerUpdateTable>().adamw(arguments); }
void adafactor_update(const AdafactorUpdate* updates, int64_t count) {
  table<OptimizerUpdateTable>().adafactor(updates, count);
}
double sum_of_squares(const float* x, int64_t count) {
  return table<OptimizerUpdateTable>().sum_of_squares(x, count);
}

}  // namespace switchyard::kernels
