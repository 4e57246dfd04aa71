#include "bench/cases/op_case.h"

#include <algorithm>
#include <iterator>

namespace switchyard {

std::vector<OpCase> all_op_cases() {
  std::vector<OpCase> all;
  for (const auto& make : {gemm_cases, attention_cases, expert_cases, router_cases, row_cases,
                           cross_entropy_cases, optimizer_cases}) {
    std::vector<OpCase> some = make();
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace switchyard
