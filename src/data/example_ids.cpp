#include "data/example_ids.h"

#include "base/hash.h"

namespace switchyard {

uint64_t ExampleIds::hash() const {
  const uint64_t ids = hash64(std::as_bytes(std::span(ids_)));
  const uint64_t ends = hash64(std::as_bytes(std::span(input_ends_)), ids);
  return hash64(std::as_bytes(std::span(ends_)), ends);
}

}  // namespace switchyard
