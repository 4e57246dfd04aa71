#include "train/health/culprit.h"

#include <vector>

#include "base/format.h"
#include "train/health/places.h"

namespace switchyard {
namespace {

bool is_finite(const at::Tensor& tensor) { return tensor.isfinite().all().item<bool>(); }

// Calls visit(matrix) for each matrix of `whole` (a parameter's weights or gradient) that is not
// finite; matrix -1 where there is one only.
template <class Visit>
void for_each_bad_matrix(const Parameter& parameter, const at::Tensor& whole, Visit visit) {
  if (is_finite(whole)) return;
  if (parameter.num_matrices() == 1) {
    visit(int64_t{-1});
    return;
  }
  for (int64_t matrix = 0; matrix < parameter.num_matrices(); ++matrix) {
    if (!is_finite(whole.select(0, matrix))) visit(matrix);
  }
}

struct Places {
  std::string first;  // in words, with the parameter's name
  int64_t count = 0;

  void add(const Parameter& parameter, int64_t matrix) {
    if (++count > 1) return;
    first = format("{} ({})", describe_parameter(parameter.name(), matrix), parameter.name());
  }
  std::string text(const char* what) const {
    return format("the {} of {} are not finite{}", what, first,
                  count > 1 ? format(", nor are {} other matrices", count - 1) : std::string());
  }
};

}  // namespace

Culprit find_culprit(const ParameterSet& parameters) {
  Places weights, gradients;
  for (const Parameter& parameter : parameters.all()) {
    for_each_bad_matrix(parameter, parameter.value().detach(),
                        [&](int64_t matrix) { weights.add(parameter, matrix); });
  }
  if (weights.count > 0) return {weights.text("weights"), false};
  const auto& all = parameters.all();
  for (auto parameter = all.rbegin(); parameter != all.rend(); ++parameter) {
    if (!parameter->gradient().defined()) continue;
    for_each_bad_matrix(*parameter, parameter->gradient(),
                        [&](int64_t matrix) { gradients.add(*parameter, matrix); });
  }
  if (gradients.count > 0) return {gradients.text("gradients") + "; all weights are finite", true};
  return {"all weights and gradients are finite", true};
}

bool weights_are_finite(const ParameterSet& parameters) {
  for (const Parameter& parameter : parameters.all()) {
    if (!is_finite(parameter.value().detach())) return false;
  }
  return true;
}

}  // namespace switchyard
