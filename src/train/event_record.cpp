#include "train/event_record.h"

#include <array>
#include <bit>
#include <vector>

namespace switchyard {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  constexpr uint32_t kPolynomial = 0x82F63B78;  // Castagnoli, bits reversed
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? kPolynomial : 0);
    table[byte] = value;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

void append_little_endian(std::string& to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>((value >> (8 * i)) & 0xFF);
}

// Protobuf wire format. A field that holds its default is left out, as proto3 does.
class Message {
 public:
  Message& integer(int field, int64_t value) {
    if (value == 0) return *this;
    tag(field, 0);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& float64(int field, double value) {
    if (std::bit_cast<uint64_t>(value) == 0) return *this;
    tag(field, 1);
    append_little_endian(bytes_, std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  /// A member of a oneof: written even if it is 0.
  Message& chosen_float32(int field, float value) {
    tag(field, 5);
    append_little_endian(bytes_, std::bit_cast<uint32_t>(value), 4);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& packed_float64(int field, std::span<const double> values) {
    if (values.empty()) return *this;
    std::string packed;
    for (const double value : values)
      append_little_endian(packed, std::bit_cast<uint64_t>(value), 8);
    return bytes(field, packed);
  }
  const std::string& serialized() const { return bytes_; }

 private:
  void tag(int field, int wire_type) { varint(static_cast<uint64_t>(field << 3 | wire_type)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

Message event(int64_t step, double wall_time) {
  return Message().float64(1, wall_time).integer(2, step);
}

std::string summary_event(int64_t step, double wall_time, const Message& value) {
  const Message summary = Message().bytes(1, value.serialized());
  return event(step, wall_time).bytes(5, summary.serialized()).serialized();
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc = kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xFF] ^ (crc >> 8);
  }
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u;
}

std::string tfrecord(std::string_view payload) {
  std::string record;
  record.reserve(payload.size() + 16);
  append_little_endian(record, payload.size(), 8);
  append_little_endian(record, masked_crc32c(record), 4);
  record += payload;
  append_little_endian(record, masked_crc32c(payload), 4);
  return record;
}

std::string version_event(double wall_time) {
  return event(0, wall_time).bytes(3, "brain.Event:2").serialized();
}

std::string session_start_event(int64_t step, double wall_time) {
  constexpr int64_t kStart = 1;
  return event(step, wall_time).bytes(7, Message().integer(1, kStart).serialized()).serialized();
}

std::string scalar_event(const std::string& tag, int64_t step, double value, double wall_time) {
  return summary_event(step, wall_time,
                       Message().bytes(1, tag).chosen_float32(2, static_cast<float>(value)));
}

std::string histogram_event(const std::string& tag, int64_t step, std::span<const double> weights,
                            double wall_time) {
  double total = 0, sum = 0, sum_squares = 0;
  std::vector<double> bucket_limits;
  for (const double weight : weights) {
    const double middle = static_cast<double>(bucket_limits.size()) + 0.5;
    bucket_limits.push_back(middle + 0.5);
    total += weight;
    sum += weight * middle;
    sum_squares += weight * middle * middle;
  }
  const Message histogram = Message()
                                .float64(2, static_cast<double>(weights.size()))
                                .float64(3, total)
                                .float64(4, sum)
                                .float64(5, sum_squares)
                                .packed_float64(6, bucket_limits)
                                .packed_float64(7, weights);
  return summary_event(step, wall_time, Message().bytes(1, tag).bytes(5, histogram.serialized()));
}

}  // namespace switchyard
