// The keys and values of rows being decoded, in pages of kernels/cache_attention.h: a cache grows
// by a page at a time, nothing in it ever moves, and rows that continue the same row share its full
// pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace switchyard {

/// Hands out pages of one size and takes them back for the next. Not thread-safe; its pages may
/// outlive it.
class PagePool {
 public:
  using Page = std::shared_ptr<std::byte[]>;

  explicit PagePool(size_t page_bytes) : free_(std::make_shared<FreeList>()), bytes_(page_bytes) {}
  /// Its content is whatever was there. Throws std::bad_alloc.
  Page take();
  size_t page_bytes() const { return bytes_; }

 private:
  struct Delete {
    void operator()(std::byte* page) const;
  };
  using Memory = std::unique_ptr<std::byte[], Delete>;
  using FreeList = std::vector<Memory>;
  std::shared_ptr<FreeList> free_;
  size_t bytes_;
};

/// The cache of one row. A copy shares the pages.
class RowCache {
 public:
  /// Positions stored.
  int64_t length() const { return length_; }
  /// Makes room for one more position in a page of its own: a page that a copy shares is copied
  /// first, unless it is full. Then the position counts as stored.
  void extend(PagePool& pool);
  const std::byte* const* pages() const { return addresses_.data(); }
  /// Where the last position lies.
  std::byte* last_page() const { return pages_.back().get(); }
  int64_t last_position() const;

 private:
  std::vector<PagePool::Page> pages_;
  std::vector<const std::byte*> addresses_;  // of pages_
  int64_t length_ = 0;
};

}  // namespace switchyard
