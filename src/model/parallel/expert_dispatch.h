// Experts on several ranks (paper section 5.4): rows go to the ranks that hold their experts and
// their results come back, by all-to-all in the rows' own type, chunk by chunk beside the products.
#pragma once

#include <ATen/ATen.h>

#include "comm/communicator.h"
#include "ops/ops.h"

namespace switchyard {

/// As ops::expert_feed_forward() (`wi` null: ops::expert_linear()) with the experts of `wi` and
/// `wo` dealt out to the ranks along `expert`: this rank has those from rank() * L on. Collective,
/// forward and backward: every rank calls it, with no tokens too. The gradients of an expert's
/// weights are those of the rows of all ranks.
at::Tensor dispatch_experts(const at::Tensor& x, const RoutingPlan& plan, Parameter* wi,
                            Parameter& wo, const ops::ExpertOptions& options, Communicator& ranks,
                            int64_t chunks);

}  // namespace switchyard
