// Checksums of fixed-size pieces of a file, so that each can be verified when it is first used.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/hash.h"

namespace switchyard {

/// Bytes of a piece. The last piece of a file may be shorter.
inline constexpr uint64_t kPieceBytes = 1 << 16;

/// Makes the sums while files are written, one file after the other. Not thread-safe.
class PieceHasher {
 public:
  void add(std::span<const std::byte> bytes);
  /// Ends a file: what follows begins a new piece.
  void end_file();
  /// XXH3-64 of each piece of all files that were ended.
  const std::vector<uint64_t>& sums() const { return sums_; }

 private:
  std::vector<uint64_t> sums_;
  std::optional<StreamingHash> hash_;  // of the piece under way
  uint64_t used_ = 0;                  // its bytes so far
};

/// How many pieces a file of `bytes` bytes has.
uint64_t count_pieces(uint64_t bytes, uint64_t piece_bytes);

/// Verifies the pieces of one mapped file, each at most once. Movable; const functions are
/// thread-safe.
class PieceChecker {
 public:
  struct Damage {
    uint64_t begin, end;  // bytes of the first damaged piece
  };
  /// `sums`: one for each piece. `bytes` must stay mapped.
  PieceChecker(std::span<const std::byte> bytes, std::vector<uint64_t> sums, uint64_t piece_bytes);

  /// The first damaged piece that holds any of the bytes [begin, end); nothing if all are sound.
  /// `found` is called once for each damaged piece, by whoever meets it first.
  std::optional<Damage> find_damage(uint64_t begin, uint64_t end,
                                    const std::function<void(const Damage&)>& found = {}) const;

 private:
  enum State : uint8_t { kUnknown, kSound, kDamaged };

  Damage range_of(uint64_t piece) const;

  std::span<const std::byte> bytes_;
  std::vector<uint64_t> sums_;
  uint64_t piece_bytes_;
  std::unique_ptr<std::atomic<uint8_t>[]> states_;
};

}  // namespace switchyard
