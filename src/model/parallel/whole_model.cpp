#include "model/parallel/whole_model.h"

#include "model/parallel/element_type.h"

namespace switchyard {
namespace {

/// [n * numel]: every rank's part, in the order of ranks.
at::Tensor gathered(const at::Tensor& part, Communicator& ranks) {
  const at::Tensor own = part.contiguous().view(-1);
  const at::Tensor all = at::empty({own.numel() * ranks.size()}, own.options());
  ranks.all_gather(own.const_data_ptr(), all.mutable_data_ptr(), own.numel(), element_type(own));
  return all;
}

}  // namespace

bool is_shared_out(const Mesh& mesh) { return mesh.shape().expert > 1 || mesh.shape().model > 1; }

at::Tensor gather_matrices(const at::Tensor& part, const TensorSlice& slice, const Mesh& mesh) {
  if (slice.is_whole()) return part;
  const at::Tensor parts = gathered(part, mesh.model());
  const at::Tensor whole = at::empty({slice.whole_numel()}, part.options());
  for (int64_t rank = 0; rank < mesh.model().size(); ++rank) {
    slice.with_part(slice.cut_axis(), rank).for_each_run([&](const TensorSlice::Run& run) {
      whole.narrow(0, run.whole, run.count)
          .copy_(parts.narrow(0, rank * slice.numel() + run.own, run.count));
    });
  }
  return whole.view(slice.whole_shape());
}

std::unique_ptr<EncoderDecoder> whole_model(const EncoderDecoder& model) {
  const ParameterSet& parts = model.parameters();
  const Mesh& mesh = parts.mesh();
  std::unique_ptr<EncoderDecoder> whole;
  if (mesh.is_first()) {
    whole = std::make_unique<EncoderDecoder>(model.config(), parts.precision());
  }
  for (const Parameter& parameter : parts.all()) {
    const TensorSlice slice = parameter.is_stack() ? parameter.slice().alone(0) : parameter.slice();
    at::Tensor value = gather_matrices(parameter.value().detach(), slice, mesh);
    if (parameter.is_stack()) value = gathered(value, mesh.expert());
    if (!whole) continue;
    const at::Tensor target = whole->parameters().find(parameter.name())->value().detach();
    target.copy_(value.view(target.sizes()));
  }
  if (whole) whole->parameters().refresh_compute();
  return whole;
}

}  // namespace switchyard
