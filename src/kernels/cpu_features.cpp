#include "kernels/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "base/error.h"

namespace switchyard::kernels {
namespace {

constexpr std::array kAllIsas = {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512Bf16, Isa::kAmxBf16};

Isa highest_wanted() {
  const char* variable = std::getenv("SWITCHYARD_ISA");
  const std::string wanted = variable ? variable : "";
  if (wanted.empty()) return kAllIsas.back();
  for (const Isa isa : kAllIsas) {
    if (wanted == isa_name(isa)) return isa;
  }
  throw usage_error("unknown instruction set '" + wanted + "'",
                    "environment variable SWITCHYARD_ISA",
                    "set it to generic, avx2, avx512bf16 or amxbf16, or unset it");
}

#if defined(__x86_64__)
// Two features whose names Clang 14 does not know in __builtin_cpu_supports(). That the operating
// system saves their registers follows from AVX2 and from may_use_tiles().
bool has_half_conversion() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

bool has_tiles() {
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
  constexpr unsigned kAll = kAmxBf16 | kAmxTile | kAmxInt8;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAll) == kAll;
}

// Linux hands out the large tile registers on request only (arch_prctl, XFEATURE_XTILEDATA).
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return "generic";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512Bf16:
      return "avx512bf16";
    case Isa::kAmxBf16:
      return "amxbf16";
  }
  return "";
}

Isa detected_isa() {
#if defined(__x86_64__)
  // These also ask whether the operating system saves the wide registers.
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_half_conversion();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  if (avx2 && avx512) {
    return has_tiles() && may_use_tiles() ? Isa::kAmxBf16 : Isa::kAvx512Bf16;
  }
  if (avx2) return Isa::kAvx2;
#endif
  return Isa::kGeneric;
}

Isa best_isa() {
  static const Isa isa = std::min(detected_isa(), highest_wanted());
  return isa;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAllIsas) {
    if (isa <= detected_isa()) isas.push_back(isa);
  }
  return isas;
}

}  // namespace switchyard::kernels
