#include "kernels/activations.h"

namespace switchyard::kernels {

void relu(const float* x, int64_t count, float* y) {
  table<ActivationTable>().relu_f32(x, count, y);
}
void relu(const Bf16* x, int64_t count, Bf16* y) {
  table<ActivationTable>().relu_bf16(x, count, y);
}
void relu_backward(const float* y, const float* dy, int64_t count, float* dx) {
  table<ActivationTable>().relu_backward_f32(y, dy, count, dx);
}
void relu_backward(const Bf16* y, const Bf16* dy, int64_t count, Bf16* dx) {
  table<ActivationTable>().relu_backward_bf16(y, dy, count, dx);
}
void geglu(const float* x, int64_t rows, int64_t width, float* y) {
  table<ActivationTable>().geglu_f32(x, rows, width, y);
}
void geglu(const Bf16* x, int64_t rows, int64_t width, Bf16* y) {
  table<ActivationTable>().geglu_bf16(x, rows, width, y);
}
void geglu_backward(const float* x, const float* dy, int64_t rows, int64_t width, float* dx) {
  table<ActivationTable>().geglu_backward_f32(x, dy, rows, width, dx);
}
void geglu_backward(const Bf16* x, const Bf16* dy, int64_t rows, int64_t width, Bf16* dx) {
  table<ActivationTable>().geglu_backward_bf16(x, dy, rows, width, dx);
}

}  // namespace switchyard::kernels
