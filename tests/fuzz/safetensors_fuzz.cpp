// The header of a safetensors file: every range it gives lies in the file and holds what it says.
#include "checkpoint/safetensors.h"

#include "tests/fuzz/target.h"

namespace switchyard {
namespace {

void check_sound(const SafetensorsHeader& header, uint64_t file_size) {
  uint64_t end = 0;
  for (const TensorEntry& tensor : header.tensors) {
    fuzz::require(tensor.begin <= tensor.end && tensor.end <= file_size, "a range leaves the file");
    fuzz::require(end == 0 || tensor.begin == end, "ranges do not follow each other");
    fuzz::require(tensor.end - tensor.begin == tensor.spec.bytes(),
                  "a range does not fit its shape");
    end = tensor.end;
  }
  fuzz::require(header.tensors.empty() || end == file_size, "ranges do not reach the end");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  return fuzz::run(
      [&] { return parse_safetensors(std::as_bytes(std::span(data, size)), "x.safetensors"); },
      [&](const SafetensorsHeader& header) { check_sound(header, size); });
}
