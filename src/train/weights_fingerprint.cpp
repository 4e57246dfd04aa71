#include "train/weights_fingerprint.h"

#include "base/hash.h"

namespace switchyard {

std::string weights_fingerprint(const ParameterSet& parameters,
                                const std::function<bool(const Parameter&)>& of) {
  StreamingHash hash;
  for (const Parameter& parameter : parameters.all()) {
    if (of && !of(parameter)) continue;
    const at::Tensor value = parameter.value().detach();
    hash.add({static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
  }
  return to_hex(hash.value());
}

}  // namespace switchyard
