// Counter-based random numbers (Philox4x32-10, Salmon et al. 2011): a pure function of a key and a
// counter. No state to save, the same on any number of threads or ranks; the backward pass draws
// again what the forward pass drew. All functions are thread-safe.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace switchyard {

using Philox4 = std::array<uint32_t, 4>;

/// Ten Philox rounds over `counter` with a 64-bit key.
inline Philox4 philox(uint64_t key, Philox4 counter) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

/// 24 random bits as a float in [0, 1).
inline float to_unit_float(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

/// A named stream of random numbers. `purpose` separates uses (dropout, jitter, ...), `a` and `b`
/// say where (step, layer, ...); draw(i) gives the i-th four words, in any order.
class RandomStream {
 public:
  RandomStream(uint64_t seed, uint32_t purpose, uint64_t a = 0, uint64_t b = 0) {
    const Philox4 mixed = philox(seed, {static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32),
                                        static_cast<uint32_t>(b), purpose});
    key_ = (uint64_t{mixed[1]} << 32) | mixed[0];
    high_ = {mixed[2], mixed[3]};
  }
  Philox4 draw(uint64_t i) const {
    return philox(key_,
                  {static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32), high_[0], high_[1]});
  }
  /// What draw(i) is a function of besides i, for code that draws many at once.
  uint64_t key() const { return key_; }
  const std::array<uint32_t, 2>& high() const { return high_; }
  uint32_t bits(uint64_t i) const { return draw(i >> 2)[i & 3]; }
  uint64_t bits64(uint64_t i) const {
    const Philox4 words = draw(i);
    return (uint64_t{words[1]} << 32) | words[0];
  }
  /// Float in [0, 1).
  float uniform(uint64_t i) const { return to_unit_float(bits(i)); }
  /// Integer in [0, bound), bound >= 1, bias below 2^-32 for bounds below 2^32.
  uint64_t below(uint64_t i, uint64_t bound) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(bits64(i)) * bound) >> 64);
  }
  /// Standard normal (Box-Muller).
  double normal(uint64_t i) const {
    const Philox4 words = draw(i);
    const double u = (words[0] + 1.0) * 0x1p-32;
    const double v = words[1] * 0x1p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }
  /// Standard normal, values beyond two sigma drawn again (paper section 2.4). The true standard
  /// deviation is 0.880, as with tf.truncated_normal.
  double truncated_normal(uint64_t i) const;

 private:
  uint64_t key_;
  std::array<uint32_t, 2> high_;
};

/// A permutation of [0, size) as a pure function: element i goes to the returned place. Cycle-walks
/// a Feistel network, so no table is kept whatever the size.
uint64_t permute_index(uint64_t i, uint64_t size, uint64_t seed, uint64_t epoch);

/// What RandomStream's `purpose` may be: one entry per use, never renumbered.
enum RandomPurpose : uint32_t {
  kRandomInit = 1,
  kRandomSpans = 2,
  kRandomShuffle = 3,
  kRandomDropout = 4,
  kRandomJitter = 5,
  kRandomExplore = 6,
  kRandomMixture = 7,
  kRandomSample = 8,
  kRandomTest = 9,
  kRandomDecode = 10,
};

}  // namespace switchyard
