#include "data/byte_source.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/format.h"

namespace switchyard {
namespace {

constexpr size_t kBlockBytes = 256 << 10;
constexpr int kAskMilliseconds = 50;  // how often a wait for input asks whether to stop
constexpr unsigned char kGzipMagic[] = {0x1F, 0x8B};
constexpr unsigned char kZstdMagic[] = {0x28, 0xB5, 0x2F, 0xFD};

/// The file as it is on disk, with a look ahead at its first bytes.
class FileSource : public ByteSource {
 public:
  FileSource(const std::string& path, std::function<bool()> stop)
      : path_(path == "-" ? "standard input" : path), stop_(std::move(stop)) {
    fd_ = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) throw system_failure("cannot open", path_, errno);
    try {
      struct stat info {};
      if (::fstat(fd_, &info) == 0 && S_ISDIR(info.st_mode)) {
        throw system_failure("cannot read", path_, EISDIR);
      }
      ahead_.resize(sizeof kZstdMagic);
      size_t used = 0;
      while (used < ahead_.size()) {
        const size_t got = read_file_bytes(ahead_.data() + used, ahead_.size() - used);
        if (got == 0) break;
        used += got;
      }
      ahead_.resize(used);
    } catch (...) {
      ::close(fd_);
      throw;
    }
  }
  ~FileSource() override { ::close(fd_); }

  template <size_t N>
  bool starts_with(const unsigned char (&magic)[N]) const {
    return ahead_.size() >= N && std::memcmp(ahead_.data(), magic, N) == 0;
  }
  const std::string& path() const { return path_; }
  uint64_t consumed() const override { return consumed_; }

  size_t read(char* data, size_t size) override {
    size_t got = 0;
    if (!ahead_.empty()) {
      got = std::min(size, ahead_.size());
      std::memcpy(data, ahead_.data(), got);
      ahead_.erase(0, got);
    } else {
      got = read_file_bytes(data, size);
    }
    consumed_ += got;
    return got;
  }

 private:
  size_t read_file_bytes(char* data, size_t size) {
    for (;;) {
      if (stop_) wait_for_input();
      const ssize_t got = ::read(fd_, data, size);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) throw system_failure("cannot read", path_, errno);
    }
  }

  void wait_for_input() const {
    struct pollfd wanted {
      fd_, POLLIN, 0
    };
    while (::poll(&wanted, 1, kAskMilliseconds) <= 0) {
      if (stop_()) throw runtime_failure("interrupted", path_);
    }
  }

  std::string path_;
  std::function<bool()> stop_;
  int fd_ = -1;
  std::string ahead_;
  uint64_t consumed_ = 0;
};

/// What the two decompressors share: a block of compressed input.
class Decompressor : public ByteSource {
 public:
  explicit Decompressor(std::unique_ptr<FileSource> file)
      : file_(std::move(file)), block_(kBlockBytes) {}
  uint64_t consumed() const override { return file_->consumed(); }

 protected:
  size_t refill() { return file_->read(block_.data(), block_.size()); }
  /// `unread`: bytes of the block that the decompressor has not taken.
  Error damaged(const std::string& how, size_t unread) const {
    return damaged_error(format("compressed data is {}", how),
                         format("{}, byte {}", file_->path(), file_->consumed() - unread),
                         "get the file again");
  }

  std::unique_ptr<FileSource> file_;
  std::vector<char> block_;
};

class GzipSource : public Decompressor {
 public:
  explicit GzipSource(std::unique_ptr<FileSource> file) : Decompressor(std::move(file)) {
    if (::inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();  // 16: gzip only
  }
  ~GzipSource() override { ::inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  size_t read(char* data, size_t size) override {
    stream_.next_out = reinterpret_cast<Bytef*>(data);
    stream_.avail_out = static_cast<uInt>(std::min(size, kBlockBytes));
    const uInt wanted = stream_.avail_out;
    while (stream_.avail_out == wanted && !ended_) {
      if (stream_.avail_in == 0 && !take_block()) {
        if (within_member_) throw damaged("cut off", 0);
        ended_ = true;
        break;
      }
      if (!within_member_ && !start_member()) break;
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        within_member_ = false;
      } else if (result == Z_MEM_ERROR) {
        throw std::bad_alloc();
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        throw damaged(stream_.msg ? format("damaged ({})", stream_.msg) : "damaged",
                      stream_.avail_in);
      }
    }
    return wanted - stream_.avail_out;
  }

 private:
  bool take_block() {
    stream_.avail_in = static_cast<uInt>(refill());
    stream_.next_in = reinterpret_cast<Bytef*>(block_.data());
    return stream_.avail_in > 0;
  }

  /// A gzip file may hold several members; zeros after the last one are padding.
  bool start_member() {
    if (*stream_.next_in == 0 && members_ > 0) {
      ended_ = true;
      return false;
    }
    if (members_++ > 0) ::inflateReset(&stream_);
    within_member_ = true;
    return true;
  }

  z_stream stream_{};
  uint64_t members_ = 0;
  bool within_member_ = false, ended_ = false;
};

class ZstdSource : public Decompressor {
 public:
  explicit ZstdSource(std::unique_ptr<FileSource> file)
      : Decompressor(std::move(file)), stream_(ZSTD_createDStream(), ZSTD_freeDStream) {
    if (!stream_) throw std::bad_alloc();
    // Frames ask for a window of memory: no more than `zstd --long=27` uses, whatever they say.
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, 27);
  }

  size_t read(char* data, size_t size) override {
    ZSTD_outBuffer output{data, size, 0};
    while (output.pos == 0) {
      if (input_.pos == input_.size && !holds_output_) {
        input_ = {block_.data(), refill(), 0};
        if (input_.size == 0) {
          if (within_frame_) throw damaged("cut off", 0);
          return 0;
        }
      }
      const size_t left = ZSTD_decompressStream(stream_.get(), &output, &input_);
      if (ZSTD_isError(left)) {
        throw damaged(format("damaged ({})", ZSTD_getErrorName(left)), input_.size - input_.pos);
      }
      within_frame_ = left != 0;
      // It may have taken all input and still hold bytes that found no room.
      holds_output_ = within_frame_ && output.pos == output.size;
    }
    return output.pos;
  }

 private:
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool within_frame_ = false, holds_output_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> open_byte_source(const std::string& path, std::function<bool()> stop) {
  auto file = std::make_unique<FileSource>(path, std::move(stop));
  if (file->starts_with(kGzipMagic)) return std::make_unique<GzipSource>(std::move(file));
  if (file->starts_with(kZstdMagic)) return std::make_unique<ZstdSource>(std::move(file));
  return file;
}

}  // namespace switchyard
