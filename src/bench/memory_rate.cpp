#include "bench/memory_rate.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>

#include "base/clock.h"
#include "base/threads.h"

namespace switchyard {
namespace {

constexpr int64_t kGrain = 1 << 12;  // words of 8 bytes that are worth a thread

double best_rate(int64_t bytes, double seconds, const std::function<void()>& pass) {
  pass();  // maps the pages
  double best = 0;
  int64_t passes = 0;
  const Clock::time_point start = Clock::now();
  do {
    const Clock::time_point begin = Clock::now();
    pass();
    best = std::max(best, static_cast<double>(bytes) / seconds_since(begin));
  } while (++passes < 2 || seconds_since(start) < seconds);
  return best;
}

uint64_t sum_words(const uint64_t* words, int64_t begin, int64_t end) {
  uint64_t sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = begin; i < end; ++i) sum += words[i];
  return sum;
}

}  // namespace

MemoryRates measure_memory_rates(int64_t working_set, double seconds) {
  const int64_t half = std::max<int64_t>(working_set, 1 << 16) / 16;  // words
  const at::Tensor buffer = at::empty({2 * half}, at::kLong);
  auto* words = reinterpret_cast<uint64_t*>(buffer.mutable_data_ptr<int64_t>());
  // Each thread touches first what it reads later.
  at::parallel_for(0, 2 * half, kGrain, [&](int64_t begin, int64_t end) {
    std::fill(words + begin, words + end, uint64_t{1});
  });
  std::atomic<uint64_t> sink{0};  // what is summed must be used, or nothing is read
  MemoryRates rates;
  rates.read = best_rate(16 * half, seconds, [&] {
    at::parallel_for(0, 2 * half, kGrain,
                     [&](int64_t begin, int64_t end) { sink += sum_words(words, begin, end); });
  });
  rates.copy = best_rate(16 * half, seconds, [&] {
    at::parallel_for(0, half, kGrain, [&](int64_t begin, int64_t end) {
      std::memcpy(words + half + begin, words + begin, static_cast<size_t>(end - begin) * 8);
    });
  });
  return rates;
}

int64_t uncached_working_set() {
  // 0 or -1 where the C library does not know.
  const int64_t last_level = std::max<int64_t>(::sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
  const int64_t wanted = std::max<int64_t>(4 * last_level, int64_t{256} << 20);
  return std::min(wanted, static_cast<int64_t>(available_memory() / 4));
}

}  // namespace switchyard
