#include "model/parallel/whole_model.h"

#include <vector>

namespace switchyard {
namespace {

/// [n * numel]: every rank's part, in the order of ranks, on the first of them; else undefined.
at::Tensor gathered(const at::Tensor& part, Communicator& ranks) {
  const at::Tensor own = part.contiguous().view(-1);
  const bool first = ranks.rank() == 0;
  const auto count = static_cast<size_t>(ranks.size());
  std::vector<int64_t> sent(count, 0), received(count, first ? 1 : 0);
  sent.front() = 1;
  const at::Tensor all =
      first ? at::empty({own.numel() * ranks.size()}, own.options()) : at::Tensor();
  ranks.all_to_all(own.const_data_ptr(), sent, first ? all.mutable_data_ptr() : nullptr, received,
                   static_cast<int64_t>(own.nbytes()));
  return all;
}

}  // namespace

bool is_shared_out(const Mesh& mesh) { return mesh.shape().expert > 1 || mesh.shape().model > 1; }

at::Tensor gather_matrices(const at::Tensor& part, const TensorSlice& slice, const Mesh& mesh) {
  if (slice.is_whole()) return part;
  const at::Tensor parts = gathered(part, mesh.model());
  if (!parts.defined()) return parts;
  const at::Tensor whole = at::empty({slice.whole_numel()}, part.options());
  for (int64_t rank = 0; rank < mesh.model().size(); ++rank) {
    put_slice(parts.narrow(0, rank * slice.numel(), slice.numel()),
              slice.with_part(slice.cut_axis(), rank), whole);
  }
  return whole.view(slice.whole_shape());
}

std::unique_ptr<EncoderDecoder> whole_model(const EncoderDecoder& model) {
  const ParameterSet& parts = model.parameters();
  const Mesh& mesh = parts.mesh();
  if (mesh.place().data > 0) return nullptr;  // the first replica has everything
  std::unique_ptr<EncoderDecoder> whole;
  if (mesh.is_first()) {
    whole = std::make_unique<EncoderDecoder>(model.config(), parts.precision());
  }
  for (const Parameter& parameter : parts.all()) {
    const TensorSlice slice = parameter.is_stack() ? parameter.slice().alone(0) : parameter.slice();
    at::Tensor value = gather_matrices(parameter.value().detach(), slice, mesh);
    if (parameter.is_stack() && mesh.place().model == 0) value = gathered(value, mesh.expert());
    if (!whole) continue;
    const at::Tensor target = whole->parameters().find(parameter.name())->value().detach();
    target.copy_(value.view(target.sizes()));
  }
  if (whole) whole->parameters().refresh_compute();
  return whole;
}

}  // namespace switchyard
