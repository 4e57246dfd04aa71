#include "kernels/decode_rows.h"

namespace switchyard::kernels {

void norm_rows(const NormRows<float>& arguments) { table<DecodeRowsTable>().norm_f32(arguments); }
void norm_rows(const NormRows<Bf16>& arguments) { table<DecodeRowsTable>().norm_bf16(arguments); }
void geglu_rows(const GegluRows<float>& arguments) {
  table<DecodeRowsTable>().geglu_f32(arguments);
}
void geglu_rows(const GegluRows<Bf16>& arguments) {
  table<DecodeRowsTable>().geglu_bf16(arguments);
}
void log_softmax_rows(const LogSoftmaxRows& arguments) {
  table<DecodeRowsTable>().log_softmax(arguments);
}

}  // namespace switchyard::kernels
