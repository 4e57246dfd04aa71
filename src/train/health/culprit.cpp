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
  if (!parameter.is_stack()) {
    visit(int64_t{-1});
    return;
  }
  for (int64_t matrix = 0; matrix < parameter.num_matrices(); ++matrix) {
    if (!is_finite(whole.select(0, matrix))) visit(parameter.slice().begin(0) + matrix);
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

struct Found {
  Culprit culprit;
  bool anything = true;
};

Found find_here(const ParameterSet& parameters) {
  Places weights, gradients;
  for (const Parameter& parameter : parameters.all()) {
    for_each_bad_matrix(parameter, parameter.value().detach(),
                        [&](int64_t matrix) { weights.add(parameter, matrix); });
  }
  if (weights.count > 0) return {{weights.text("weights"), false}};
  const auto& all = parameters.all();
  for (auto parameter = all.rbegin(); parameter != all.rend(); ++parameter) {
    if (!parameter->gradient().defined()) continue;
    for_each_bad_matrix(*parameter, parameter->gradient(),
                        [&](int64_t matrix) { gradients.add(*parameter, matrix); });
  }
  if (gradients.count > 0)
    return {{gradients.text("gradients") + "; all weights are finite", true}};
  return {{"all weights and gradients are finite", true}, false};
}

}  // namespace

Culprit find_culprit(const ParameterSet& parameters) {
  Communicator& ranks = parameters.mesh().all();
  Found found = find_here(parameters);
  if (ranks.size() == 1) return found.culprit;
  // The first rank with the worst finding speaks for all.
  const int64_t badness = !found.culprit.weights_finite ? 2 : found.anything ? 1 : 0;
  const int64_t worst = ranks.maximum(badness);
  const int64_t after = ranks.maximum(badness == worst ? ranks.size() - ranks.rank() : 0);
  const auto speaker = static_cast<int>(ranks.size() - after);
  return {ranks.broadcast_text(found.culprit.text, speaker), worst < 2};
}

}  // namespace switchyard
