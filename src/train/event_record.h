// TensorBoard's event files, byte for byte: TFRecords of protobuf `tensorflow.Event` messages
// (docs/formats.md, "TensorBoard events"). Encoded by hand: a handful of fields does not need the
// protobuf library, which would clash with the copy inside LibTorch. Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace switchyard {

/// CRC-32C (Castagnoli) of `bytes`; RFC 3720, appendix B.4 has test vectors.
uint32_t crc32c(std::string_view bytes);
/// The rotated form that TFRecords store, so that a checksum of data with checksums stays strong.
uint32_t masked_crc32c(std::string_view bytes);

/// One TFRecord: length, checksum of the length, payload, checksum of the payload.
std::string tfrecord(std::string_view payload);

// Serialized events. `wall_time`: seconds since 1970.

/// The first event of every file.
std::string version_event(double wall_time);
/// "A process takes up the run here": readers drop what earlier files hold from `step` on.
std::string session_start_event(int64_t step, double wall_time);
std::string scalar_event(const std::string& tag, int64_t step, double value, double wall_time);
/// A histogram with one bucket per entry: weights[i] >= 0 lies between i and i + 1.
std::string histogram_event(const std::string& tag, int64_t step, std::span<const double> weights,
                            double wall_time);

}  // namespace switchyard
