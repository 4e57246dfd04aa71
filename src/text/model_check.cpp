#include "text/model_check.h"

#include <cstdint>
#include <cstring>
#include <optional>

namespace switchyard {
namespace {

// Field numbers of sentencepiece_model.proto.
constexpr uint64_t kNormalizerSpec = 3, kDenormalizerSpec = 5;  // in ModelProto
constexpr uint64_t kPrecompiledCharsmap = 2;                    // in NormalizerSpec

struct ProtoField {
  uint64_t number = 0;
  std::string_view bytes;  // content of a length-delimited field, else empty
};

/// Reads one protocol buffer field after another; stops at the end or at the first unsound byte.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : rest_(bytes) {}

  std::optional<ProtoField> next() {
    uint64_t tag = 0;
    if (rest_.empty() || !read_varint(&tag)) return std::nullopt;
    ProtoField field;
    field.number = tag >> 3;
    uint64_t size = 0;
    switch (tag & 7) {
      case 0:
        return read_varint(&size) ? std::optional(field) : std::nullopt;
      case 1:
        size = 8;
        break;
      case 2:
        if (!read_varint(&size)) return std::nullopt;
        break;
      case 5:
        size = 4;
        break;
      default:
        return std::nullopt;
    }
    if (size > rest_.size()) return std::nullopt;
    if ((tag & 7) == 2) field.bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return field;
  }

 private:
  bool read_varint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      *value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  std::string_view rest_;
};

/// Layout: trie size in bytes (uint32), a darts-clone double array, zero-terminated strings. A unit
/// leads to (its own place ^ offset ^ next byte), which must lie in the array for every next byte.
std::string check_charsmap(std::string_view blob) {
  if (blob.empty()) return "";
  uint32_t trie_bytes = 0;
  if (blob.size() < sizeof trie_bytes) return "normalization table too short";
  std::memcpy(&trie_bytes, blob.data(), sizeof trie_bytes);
  blob.remove_prefix(sizeof trie_bytes);
  if (trie_bytes == 0 || trie_bytes % 1024 != 0 || trie_bytes >= blob.size()) {
    return "normalization table has a wrong size";
  }
  const size_t num_units = trie_bytes / sizeof(uint32_t);
  const size_t num_text = blob.size() - trie_bytes;
  if (blob.back() != '\0') return "normalization text is not terminated";
  const auto unit_at = [&](size_t i) {
    uint32_t unit = 0;
    std::memcpy(&unit, blob.data() + i * sizeof unit, sizeof unit);
    return unit;
  };
  for (size_t i = 0; i < num_units; ++i) {
    const uint32_t unit = unit_at(i);
    if (unit >> 31) continue;  // a value: never walked through, read only by way of its parent
    const size_t base = i ^ ((size_t{unit} >> 10) << ((unit & (1u << 9)) >> 6));
    if ((base | 0xFF) >= num_units) return "normalization table points outside itself";
    const bool has_value = (unit >> 8) & 1;
    if (has_value && (unit_at(base) & 0x7FFFFFFFu) >= num_text) {
      return "normalization table points outside its text";
    }
  }
  return "";
}

}  // namespace

std::string find_model_damage(std::string_view model) {
  // A repeated message field is merged by protocol buffers, so every occurrence counts.
  ProtoReader reader(model);
  while (const auto field = reader.next()) {
    if (field->number != kNormalizerSpec && field->number != kDenormalizerSpec) continue;
    ProtoReader spec(field->bytes);
    while (const auto inner = spec.next()) {
      if (inner->number != kPrecompiledCharsmap) continue;
      if (std::string damage = check_charsmap(inner->bytes); !damage.empty()) return damage;
    }
  }
  return "";
}

}  // namespace switchyard
