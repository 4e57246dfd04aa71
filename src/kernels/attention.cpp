#include "kernels/attention.h"

namespace switchyard::kernels {

void attention_forward(const AttentionForward<float>& arguments) {
  table<AttentionTable>().forward_f32(arguments);
}
void attention_forward(const AttentionForward<Bf16>& arguments) {
  table<AttentionTable>().forward_bf16(arguments);
}
void attention_backward(const AttentionBackward<float>& arguments) {
  table<AttentionTable>().backward_f32(arguments);
}
void attention_backward(const AttentionBackward<Bf16>& arguments) {
  table<AttentionTable>().backward_bf16(arguments);
}

}  // namespace switchyard::kernels
