// Which instruction set the kernels use. Every kernel is compiled once per instruction set
// (sy_kernels in CMakeLists.txt) and chosen at run time, so one binary runs on all machines.
#pragma once

#include <vector>

namespace switchyard::kernels {

/// In rising order: a machine that has one has all before it.
enum class Isa {
  kGeneric,     // what every x86-64 (or other) machine has
  kAvx2,        // AVX2, FMA, F16C
  kAvx512Bf16,  // AVX-512 F, BW, VL, DQ and its dot products of bfloat16 and of bytes (VNNI)
  kAmxBf16,     // AMX tiles and their products of bfloat16 and of bytes
};

/// "generic", "avx2", "avx512bf16" or "amxbf16".
const char* isa_name(Isa isa);

/// The best one that this processor and its operating system support. Asks Linux for the right to
/// use AMX tiles, which counts for the whole process.
Isa detected_isa();

/// What kernels use: detected_isa(), or less if the environment variable SWITCHYARD_ISA names a
/// lower one (to compare, or to stay clear of a machine's fault). Read once, at the first call;
/// thread-safe. Throws a usage Error when the variable holds an unknown name.
Isa best_isa();

/// All that this machine can run, rising: for tests and benchmarks.
std::vector<Isa> available_isas();

}  // namespace switchyard::kernels
