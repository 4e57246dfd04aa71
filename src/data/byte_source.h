// Bytes of a file or of standard input, decompressed on the way: gzip (dictzip included) and
// zstandard are recognised by their first bytes, whatever the file is called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace switchyard {

/// Not thread-safe.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills `data` with up to `size` bytes; 0 only at the end. Throws Error(kDamaged) where
  /// compressed data is damaged or cut off.
  virtual size_t read(char* data, size_t size) = 0;
  /// Bytes taken so far from the file as it is on disk.
  virtual uint64_t consumed() const = 0;
};

/// Opens `path`, or standard input for "-". Throws Error(kUsage) if it cannot be opened. `stop` is
/// asked now and then while input from a pipe or terminal is waited for: once it says true, read()
/// throws Error(kRuntime).
std::unique_ptr<ByteSource> open_byte_source(const std::string& path,
                                             std::function<bool()> stop = {});

}  // namespace switchyard
