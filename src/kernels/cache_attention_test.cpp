// Attention over cached pages against plain loops in double.
#include "kernels/cache_attention.h"

#include <limits>
#include <memory>

#include "kernels/test_data.h"

namespace switchyard::kernels {
namespace {

using testing::Buffer;
using testing::fill_random;
using testing::tolerance;
using testing::with_threads;

template <class T>
auto store_of(const CacheAttentionTable& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.store_f32;
  else
    return table.store_bf16;
}
template <class T>
auto attend_of(const CacheAttentionTable& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.attend_f32;
  else
    return table.attend_bf16;
}

/// One row's cache of two layers, filled position by position; NaN where nothing was stored.
template <class T>
class Cache {
 public:
  Cache(Isa isa, int64_t heads, int64_t width, int64_t count, uint32_t seed)
      : layout(page_layout(1, heads, width)), key(count * heads * width), value(key.size()) {
    fill_random(key, seed);
    fill_random(value, seed + 1);
    const std::size_t bytes = page_bytes<T>(2, heads, width);
    for (int64_t p = 0; p < pages_for(count); ++p) {
      memory_.push_back(std::make_unique<std::byte[]>(bytes));
      std::fill_n(memory_.back().get(), bytes, std::byte{0xFF});
      pages.push_back(memory_.back().get());
    }
    std::vector<std::byte*> page;
    std::vector<int64_t> position;
    for (int64_t j = 0; j < count; ++j) {
      page.push_back(memory_[static_cast<size_t>(j / kPagePositions)].get());
      position.push_back(j % kPagePositions);
    }
    store_of<T>(table<CacheAttentionTable>(isa))(
        {layout, count, page.data(), position.data(), key.data(), value.data(), heads * width});
  }
  PageLayout layout;
  Buffer<float> key, value;
  std::vector<const std::byte*> pages;

 private:
  std::vector<std::unique_ptr<std::byte[]>> memory_;
};

template <class T>
void compare(Isa isa, int64_t heads, int64_t width, int64_t count, bool bias, bool mask) {
  SCOPED_TRACE(std::string(isa_name(isa)) + " " + std::to_string(heads) + " " +
               std::to_string(width) + " " + std::to_string(count));
  const int64_t inner = heads * width, bias_stride = count + 5;
  const Cache<T> cache(isa, heads, width, count, 3);
  Buffer<float> query(inner), biases(heads * bias_stride), masks(count);
  fill_random(query, 1, 0.4f);
  fill_random(biases, 2);
  for (int64_t j = 0; j < count; ++j) {
    masks[j] = mask && j % 3 == 1 ? -std::numeric_limits<float>::infinity() : 0.0f;
  }
  Buffer<T> output(inner);
  const AttendingRow row = {cache.pages.data(), count, bias ? biases.data() : nullptr,
                            mask ? masks.data() : nullptr};
  attend_of<T>(table<CacheAttentionTable>(isa))(
      {cache.layout, 1, &row, query.data(), inner, bias_stride, output.data()});
  const auto rounded = [](float x) {
    T stored;
    store(&stored, x);
    return static_cast<double>(to_float(stored));
  };
  for (int64_t h = 0; h < heads; ++h) {
    std::vector<double> weight;
    double sum = 0;
    for (int64_t j = 0; j < count; ++j) {
      double score = masks[j] + (bias ? biases[h * bias_stride + j] : 0.0f);
      for (int64_t k = h * width; k < (h + 1) * width; ++k) {
        score += query[k] * rounded(cache.key[j * inner + k]);
      }
      weight.push_back(std::exp(score));
      sum += weight.back();
    }
    for (int64_t k = h * width; k < (h + 1) * width; ++k) {
      double expected = 0;
      for (int64_t j = 0; j < count; ++j) {
        expected += weight[static_cast<size_t>(j)] / sum * rounded(cache.value[j * inner + k]);
      }
      ASSERT_NEAR(to_float(output[k]), expected, tolerance<T>(expected, 2e-5)) << h << ' ' << k;
    }
  }
}

TEST(CacheAttention, MatchesPlainLoops) {
  for (const Isa isa : available_isas()) {
    for (const int64_t width : {1, 4, 7, 16, 64, 72, 129}) {
      for (const int64_t count : {1, 15, 16, 33}) {
        compare<float>(isa, 3, width, count, true, false);
        compare<Bf16>(isa, 3, width, count, true, count > 1);
        compare<Bf16>(isa, 2, width, count, false, false);
      }
    }
  }
}

TEST(CacheAttention, NothingSeenGivesZero) {
  for (const Isa isa : available_isas()) {
    const Cache<float> cache(isa, 1, 8, 2, 1);
    const float none[] = {-std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()};
    const AttendingRow rows[] = {{cache.pages.data(), 2, nullptr, none},
                                 {nullptr, 0, nullptr, nullptr}};
    Buffer<float> query(16), output(16);
    output.fill(5);
    table<CacheAttentionTable>(isa).attend_f32(
        {cache.layout, 2, rows, query.data(), 8, 0, output.data()});
    for (int64_t i = 0; i < 16; ++i) EXPECT_EQ(output[i], 0.0f) << isa_name(isa);
  }
}

TEST(CacheAttention, RowsDependOnNothingElse) {
  for (const Isa isa : available_isas()) {
    constexpr int64_t kHeads = 4, kWidth = 24, kInner = kHeads * kWidth;
    const Cache<Bf16> cache(isa, kHeads, kWidth, 200, 5);
    Buffer<float> query(9 * kInner);
    fill_random(query, 8);
    Buffer<Bf16> together(9 * kInner), alone(kInner);
    std::vector<AttendingRow> rows;
    for (int64_t r = 0; r < 9; ++r) rows.push_back({cache.pages.data(), 3 + 23 * r, nullptr, {}});
    const auto attend = table<CacheAttentionTable>(isa).attend_bf16;
    with_threads(2, [&] {
      attend({cache.layout, 9, rows.data(), query.data(), kInner, 0, together.data()});
    });
    for (size_t r = 0; r < 9; ++r) {
      const int64_t start = static_cast<int64_t>(r) * kInner;
      attend({cache.layout, 1, &rows[r], query.data() + start, kInner, 0, alone.data()});
      for (int64_t i = 0; i < kInner; ++i) ASSERT_EQ(alone[i].bits, together[start + i].bits);
    }
  }
}

/// Whole pages at once and position by position, numbers too small for a whole mantissa among them.
template <class T>
void expect_same_store(Isa isa, int64_t width) {
  constexpr int64_t kHeads = 3, kCount = 2 * kPagePositions + 5;
  const int64_t inner = kHeads * width;
  const PageLayout layout = page_layout(0, kHeads, width);
  Buffer<float> key(kCount * inner), value(kCount * inner);
  fill_random(key, 1);
  fill_random(value, 2);
  for (int64_t i = 0; i < kCount * inner; i += 3) key[i] *= 1e-38f, value[i] *= 1e-38f;
  const std::size_t bytes = page_bytes<T>(1, kHeads, width);
  std::vector<std::byte> at_once(3 * bytes), one_by_one(3 * bytes);
  const auto store_into = [&](std::vector<std::byte>& memory, int64_t together) {
    for (int64_t first = 0; first < kCount; first += together) {
      std::vector<std::byte*> pages;
      std::vector<int64_t> positions;
      for (int64_t j = first; j < std::min(first + together, kCount); ++j) {
        pages.push_back(memory.data() + static_cast<std::size_t>(j / kPagePositions) * bytes);
        positions.push_back(j % kPagePositions);
      }
      store_of<T>(table<CacheAttentionTable>(isa))(
          {layout, static_cast<int64_t>(pages.size()), pages.data(), positions.data(),
           key.data() + first * inner, value.data() + first * inner, inner});
    }
  };
  store_into(at_once, kCount);
  store_into(one_by_one, 1);
  EXPECT_EQ(at_once, one_by_one) << isa_name(isa) << ' ' << width;
}

TEST(CacheAttention, PagesHoldTheSameHoweverTheyAreFilled) {
  for (const Isa isa : available_isas()) {
    for (const int64_t width : {5, 16, 40, 64}) {
      expect_same_store<float>(isa, width);
      expect_same_store<Bf16>(isa, width);
    }
  }
}

}  // namespace
}  // namespace switchyard::kernels
