#include "kernels/int8_product.h"

namespace switchyard::kernels {

void quantize_rows(const QuantizeRows<float>& arguments) {
  table<Int8ProductTable>().quantize_f32(arguments);
}
void quantize_rows(const QuantizeRows<Bf16>& arguments) {
  table<Int8ProductTable>().quantize_bf16(arguments);
}
void few_row_products(const Int8Product* products, int64_t count) {
  table<Int8ProductTable>().products(products, count);
}

}  // namespace switchyard::kernels
