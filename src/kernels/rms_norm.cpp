#include "kernels/rms_norm.h"

namespace switchyard::kernels {

void rms_norm_forward(const RmsNormForward<float>& arguments) {
  table<RmsNormTable>().forward_f32(arguments);
}
void rms_norm_forward(const RmsNormForward<Bf16>& arguments) {
  table<RmsNormTable>().forward_bf16(arguments);
}
void rms_norm_backward(const RmsNormBackward<float>& arguments) {
  table<RmsNormTable>().backward_f32(arguments);
}
void rms_norm_backward(const RmsNormBackward<Bf16>& arguments) {
  table<RmsNormTable>().backward_bf16(arguments);
}

}  // namespace switchyard::kernels
