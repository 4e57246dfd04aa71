#include "kernels/distillation.h"

namespace switchyard::kernels {

void soft_loss_forward(const SoftLossForward<float>& arguments) {
  table<DistillationTable>().soft_forward_f32(arguments);
}
void soft_loss_forward(const SoftLossForward<Bf16>& arguments) {
  table<DistillationTable>().soft_forward_bf16(arguments);
}
void distillation_backward(const DistillationBackward<float>& arguments) {
  table<DistillationTable>().backward_f32(arguments);
}
void distillation_backward(const DistillationBackward<Bf16>& arguments) {
  table<DistillationTable>().backward_bf16(arguments);
}

}  // namespace switchyard::kernels
