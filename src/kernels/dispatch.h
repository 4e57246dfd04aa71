// How a kernel gets from its caller to the code for this machine's instruction set. Kernel `foo` is
//   foo.h        argument structs, `struct FooTable` of function pointers, and one short public
//                function per kernel that calls `table<FooTable>().function(arguments)`;
//   foo_isa.cpp  compiled once per instruction set: the functions in an unnamed namespace, and
//                  template <>
//                  const FooTable& table_of<FooTable, kCompiledIsa>() {
//                    static constexpr FooTable kTable = {...};
//                    return kTable;
//                  }
// Tests and benchmarks reach another instruction set through table<FooTable>(isa).
//
// A foo_isa.cpp must not emit code that other files may share, or the linker could give the AVX-512
// copy of an inline function to every caller: everything in it, and in the headers made for it
// (isa_*.h), has internal linkage, and it uses no containers (scratch memory: kernels/scratch.h).
// The test kernels_keep_to_themselves looks for such symbols.
#pragma once

#include "kernels/cpu_features.h"

namespace switchyard::kernels {

template <class Table, Isa isa>
const Table& table_of();

template <class Table>
const Table& table(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAmxBf16) return table_of<Table, Isa::kAmxBf16>();
  if (isa == Isa::kAvx512Bf16) return table_of<Table, Isa::kAvx512Bf16>();
  if (isa == Isa::kAvx2) return table_of<Table, Isa::kAvx2>();
#else
  (void)isa;
#endif
  return table_of<Table, Isa::kGeneric>();
}

template <class Table>
const Table& table() {
  static const Table& best = table<Table>(best_isa());
  return best;
}

}  // namespace switchyard::kernels
