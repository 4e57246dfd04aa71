// XXH3 checksums, as 64-bit values and as 16 hexadecimal digits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace switchyard {

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed = 0);
uint64_t hash64(std::string_view text, uint64_t seed = 0);
std::string to_hex(uint64_t value);

/// XXH3-64 over a stream of pieces: the same value as hash64 over their concatenation.
class StreamingHash {
 public:
  StreamingHash();
  ~StreamingHash();
  StreamingHash(const StreamingHash&) = delete;
  StreamingHash& operator=(const StreamingHash&) = delete;
  void add(std::span<const std::byte> bytes);
  uint64_t value() const;

 private:
  void* state_;
};

}  // namespace switchyard
