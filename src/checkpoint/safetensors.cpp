#include "checkpoint/safetensors.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <tuple>

#include "base/error.h"
#include "base/format.h"
#include "base/json.h"

namespace switchyard {
namespace {

using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kHint = "copy the file again or make it anew";

/// Place of a fault: the file, the tensor and, if known, a byte of the file.
class Where {
 public:
  Where(const std::string& path, const std::string& tensor) : text_(path) {
    if (!tensor.empty()) text_ += format(", tensor '{:.120}'", tensor);
  }
  Error damaged(const std::string& what) const { return damaged_error(what, text_, kHint); }
  Error damaged(const std::string& what, uint64_t offset) const {
    return damaged_error(what, format("{}, offset {}", text_, offset), kHint);
  }
  Error unknown(const std::string& what, const std::string& hint) const {
    return usage_error(what, text_, hint);
  }

 private:
  std::string text_;
};

uint64_t header_length(std::span<const std::byte> file, const std::string& path) {
  const Where where(path, "");
  if (file.size() < kLengthBytes) {
    throw where.damaged(format("{} bytes are too few for a safetensors file", file.size()));
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  if (length > kMaxHeaderBytes) {
    throw where.damaged(
        format("a header of {} bytes is longer than the {} allowed", length, kMaxHeaderBytes), 0);
  }
  if (length > file.size() - kLengthBytes) {
    throw where.damaged(
        format("the header's {} bytes reach beyond the file's {}", length, file.size()), 0);
  }
  return length;
}

std::vector<int64_t> parse_shape(const json& value, const Where& where) {
  if (!value.is_array()) throw where.damaged("shape is not a list");
  std::vector<int64_t> shape;
  for (const json& size : value) {
    if (!size.is_number_unsigned() ||
        size.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      throw where.damaged("shape holds something that is no size");
    }
    shape.push_back(size.get<int64_t>());
  }
  return shape;
}

/// Bytes of a tensor; false if the number does not fit.
bool checked_bytes(const TensorSpec& spec, uint64_t& bytes) {
  bytes = dtype_bytes(spec.dtype);
  for (const int64_t size : spec.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return false;
  }
  return true;
}

/// One entry of the header. `data` is where the tensors' bytes begin, `file_size` where they end.
TensorEntry parse_entry(const std::string& name, const json& value, uint64_t data,
                        uint64_t file_size, const std::string& path) {
  const Where where(path, name);
  if (!value.is_object()) throw where.damaged("its description is not an object");
  for (const auto& [key, unused] : value.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      throw where.damaged(format("unknown key '{:.80}' in its description", key));
    }
  }
  const json dtype = value.value("dtype", json());
  if (!dtype.is_string()) throw where.damaged("dtype is missing or not text");
  const auto type = parse_dtype(dtype.get<std::string>());
  if (!type) {
    throw where.unknown(format("element type '{:.40}' is not known", dtype.get<std::string>()),
                        "convert the weights to F32, BF16 or F16");
  }
  TensorEntry entry;
  entry.spec = {name, *type, parse_shape(value.value("shape", json()), where)};
  const json offsets = value.value("data_offsets", json());
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    throw where.damaged("data_offsets is not a pair of offsets");
  }
  const auto begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (begin > end || end > file_size - data) {
    throw where.damaged(
        format("bytes {} to {} reach beyond the {} bytes of data", begin, end, file_size - data),
        data + std::min(begin, file_size - data));
  }
  uint64_t bytes = 0;
  if (!checked_bytes(entry.spec, bytes) || bytes != end - begin) {
    throw where.damaged(format("{} bytes do not hold {} {}", end - begin, dtype_name(*type),
                               shape_text(entry.spec.shape)),
                        data + begin);
  }
  entry.begin = data + begin;
  entry.end = data + end;
  return entry;
}

void check_coverage(const std::vector<TensorEntry>& tensors, uint64_t data, uint64_t file_size,
                    const std::string& path) {
  uint64_t at = data;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.begin != at) {
      throw Where(path, tensor.spec.name)
          .damaged(tensor.begin < at
                       ? "overlaps the tensor before it"
                       : format("{} bytes before it belong to no tensor", tensor.begin - at),
                   tensor.begin);
    }
    at = tensor.end;
  }
  if (at != file_size) {
    throw Where(path, "").damaged(format("the last {} bytes belong to no tensor", file_size - at),
                                  at);
  }
}

}  // namespace

int64_t TensorSpec::numel() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

uint64_t TensorSpec::bytes() const { return static_cast<uint64_t>(numel()) * dtype_bytes(dtype); }

std::string shape_text(const std::vector<int64_t>& shape) {
  constexpr size_t kShown = 8;
  std::string text = "[";
  for (size_t i = 0; i < std::min(kShown, shape.size()); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + (shape.size() > kShown ? ", ...]" : "]");
}

SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& path) {
  const uint64_t length = header_length(file, path);
  const uint64_t data = kLengthBytes + length;
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (text.empty() || text.front() != '{') {
    throw Where(path, "").damaged("the header is not a JSON object", kLengthBytes);
  }
  const json object = parse_json(text, path + ", header");
  SafetensorsHeader header;
  for (const auto& [name, value] : object.items()) {
    if (name != kMetadata) {
      header.tensors.push_back(parse_entry(name, value, data, file.size(), path));
      continue;
    }
    if (!value.is_object()) throw Where(path, "").damaged("__metadata__ is not an object");
    for (const auto& [key, text_value] : value.items()) {
      if (!text_value.is_string()) {
        throw Where(path, "").damaged(format("__metadata__ '{:.80}' is not text", key));
      }
      header.metadata[key] = text_value.get<std::string>();
    }
  }
  // Empty tensors begin where others do: they come first.
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) {
              return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
            });
  check_coverage(header.tensors, data, file.size(), path);
  return header;
}

SafetensorsFile::SafetensorsFile(const std::string& path)
    : file_(path), header_(parse_safetensors(file_.bytes(), path)) {
  for (size_t i = 0; i < header_.tensors.size(); ++i) by_name_[header_.tensors[i].spec.name] = i;
}

const TensorEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &header_.tensors[found->second];
}

std::span<const std::byte> SafetensorsFile::data(const TensorEntry& tensor) const {
  return file_.bytes().subspan(tensor.begin, tensor.end - tensor.begin);
}

SafetensorsWriter::SafetensorsWriter(const std::string& path,
                                     const std::vector<TensorSpec>& tensors,
                                     const TensorMetadata& metadata)
    : file_(path) {
  std::string text = format("{{\"{}\":{}", kMetadata, json(metadata).dump());
  uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    const uint64_t end = offset + tensor.bytes();
    text += format(",{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}",
                   json(tensor.name).dump(), dtype_name(tensor.dtype), json(tensor.shape).dump(),
                   offset, end);
    ends_.push_back(offset = end);
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data aligned to 8 bytes
  const uint64_t length = text.size();
  put(std::as_bytes(std::span(&length, 1)));
  put(std::as_bytes(std::span(text)));
  expected_size_ = kLengthBytes + length + offset;
  for (uint64_t& end : ends_) end += kLengthBytes + length;
  end_tensors();
}

void SafetensorsWriter::put(std::span<const std::byte> bytes) {
  file_.write(bytes);
  file_hash_.add(bytes);
}

// Closes the checksums of tensors that end here; several where some are empty.
void SafetensorsWriter::end_tensors() {
  while (tensor_hashes_.size() < ends_.size() && file_.size() == ends_[tensor_hashes_.size()]) {
    tensor_hashes_.push_back(to_hex(tensor_hash_->value()));
    tensor_hash_.emplace();
  }
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  constexpr uint64_t kPiece = 1 << 18;  // stays in the cache while it is hashed twice and copied
  while (!bytes.empty()) {
    assert(tensor_hashes_.size() < ends_.size() && "more bytes than the tensors have");
    const uint64_t left = ends_[tensor_hashes_.size()] - file_.size();
    const auto piece = bytes.first(std::min({static_cast<uint64_t>(bytes.size()), left, kPiece}));
    put(piece);
    tensor_hash_->add(piece);
    end_tensors();
    bytes = bytes.subspan(piece.size());
  }
}

SafetensorsHashes SafetensorsWriter::commit() {
  assert(file_.size() == expected_size_ && "every tensor must be written");
  file_.commit();
  return {to_hex(file_hash_.value()), tensor_hashes_};
}

}  // namespace switchyard
