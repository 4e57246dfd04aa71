#include "kernels/few_row_product.h"

namespace switchyard::kernels {

void few_row_products(const FewRowProduct<float>* products, int64_t count) {
  table<FewRowTable>().products_f32(products, count);
}
void few_row_products(const FewRowProduct<Bf16>* products, int64_t count) {
  table<FewRowTable>().products_bf16(products, count);
}

}  // namespace switchyard::kernels
