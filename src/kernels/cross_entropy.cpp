#include "kernels/cross_entropy.h"

namespace switchyard::kernels {

void cross_entropy_forward(const CrossEntropyForward<float>& arguments) {
  table<CrossEntropyTable>().forward_f32(arguments);
}
void cross_entropy_forward(const CrossEntropyForward<Bf16>& arguments) {
  table<CrossEntropyTable>().forward_bf16(arguments);
}
void cross_entropy_backward(const CrossEntropyBackward<float>& arguments) {
  table<CrossEntropyTable>().backward_f32(arguments);
}
void cross_entropy_backward(const CrossEntropyBackward<Bf16>& arguments) {
  table<CrossEntropyTable>().backward_bf16(arguments);
}

}  // namespace switchyard::kernels
