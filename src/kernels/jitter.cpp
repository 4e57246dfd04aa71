#include "kernels/jitter.h"

namespace switchyard::kernels {

void jitter(const Jitter<float>& arguments) { table<JitterTable>().f32(arguments); }
void jitter(const Jitter<Bf16>& arguments) { table<JitterTable>().bf16(arguments); }

}  // namespace switchyard::kernels
