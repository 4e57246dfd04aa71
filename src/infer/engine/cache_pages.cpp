#include "infer/engine/cache_pages.h"

#include <cstring>
#include <new>
#include <utility>

#include "kernels/cache_attention.h"

namespace switchyard {

namespace {

constexpr std::align_val_t kLine{64};

}  // namespace

void PagePool::Delete::operator()(std::byte* page) const { ::operator delete[](page, kLine); }

PagePool::Page PagePool::take() {
  Memory memory;
  if (free_->empty()) {
    memory.reset(static_cast<std::byte*>(::operator new[](bytes_, kLine)));
  } else {
    memory = std::move(free_->back());
    free_->pop_back();
  }
  const auto give_back = [list = std::weak_ptr<FreeList>(free_)](std::byte* page) {
    Memory own(page);
    if (const auto alive = list.lock()) alive->push_back(std::move(own));
  };
  return Page(memory.release(), give_back);
}

void RowCache::extend(PagePool& pool) {
  if (length_ % kernels::kPagePositions == 0) {
    pages_.push_back(pool.take());
    addresses_.push_back(pages_.back().get());
  } else if (pages_.back().use_count() > 1) {
    PagePool::Page own = pool.take();
    std::memcpy(own.get(), pages_.back().get(), pool.page_bytes());
    pages_.back() = std::move(own);
    addresses_.back() = pages_.back().get();
  }
  ++length_;
}

int64_t RowCache::last_position() const { return (length_ - 1) % kernels::kPagePositions; }

}  // namespace switchyard
