#include "data/piece_sums.h"

#include <algorithm>

namespace switchyard {

void PieceHasher::add(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (!hash_) hash_.emplace();
    const uint64_t part = std::min<uint64_t>(bytes.size(), kPieceBytes - used_);
    hash_->add(bytes.first(part));
    used_ += part;
    bytes = bytes.subspan(part);
    if (used_ == kPieceBytes) end_file();
  }
}

void PieceHasher::end_file() {
  if (hash_) sums_.push_back(hash_->value());
  hash_.reset();
  used_ = 0;
}

uint64_t count_pieces(uint64_t bytes, uint64_t piece_bytes) {
  return bytes / piece_bytes + (bytes % piece_bytes > 0);
}

PieceChecker::PieceChecker(std::span<const std::byte> bytes, std::vector<uint64_t> sums,
                           uint64_t piece_bytes)
    : bytes_(bytes),
      sums_(std::move(sums)),
      piece_bytes_(piece_bytes),
      states_(std::make_unique<std::atomic<uint8_t>[]>(sums_.size())) {}

PieceChecker::Damage PieceChecker::range_of(uint64_t piece) const {
  return {piece * piece_bytes_, std::min<uint64_t>((piece + 1) * piece_bytes_, bytes_.size())};
}

std::optional<PieceChecker::Damage> PieceChecker::find_damage(
    uint64_t begin, uint64_t end, const std::function<void(const Damage&)>& found) const {
  if (begin >= end) return std::nullopt;
  for (uint64_t piece = begin / piece_bytes_; piece * piece_bytes_ < end; ++piece) {
    const Damage range = range_of(piece);
    uint8_t state = states_[piece].load(std::memory_order_relaxed);
    if (state == kUnknown) {
      const uint64_t sum = hash64(bytes_.subspan(range.begin, range.end - range.begin));
      const uint8_t now = sum == sums_[piece] ? kSound : kDamaged;
      // Two threads may both look; one of them tells.
      const bool first = states_[piece].compare_exchange_strong(state, now);
      if (first && now == kDamaged && found) found(range);
      state = now;
    }
    if (state == kDamaged) return range;
  }
  return std::nullopt;
}

}  // namespace switchyard
