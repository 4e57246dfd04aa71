#include "train/process_setup.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <limits>

namespace switchyard {

void prepare_process(int threads) {
  // glibc maps every large block anew and gives it back when freed: at 100,000 page faults a step
  // that costs more than many an op.
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  ::mallopt(M_TOP_PAD, 64 << 20);

  at::set_num_threads(threads);
  // A setting of each thread's own. The pool's threads live on, so one visit to each is enough.
  at::parallel_for(0, threads, 1,
                   [](int64_t, int64_t) { at::globalContext().setFlushDenormal(true); });
}

}  // namespace switchyard
