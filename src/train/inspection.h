// What is in a model directory, a checkpoint, a run or prepared data: for `switchyard inspect`.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace switchyard {

struct InspectOptions {
  bool verify = false;   // read everything and hold it against its checksums
  bool tensors = false;  // list every stored tensor of a model
};

/// Keys in the order in which a person wants to read them; `kind` ("model", "checkpoint", "run",
/// "prepared data") first. Headers, names and shapes are always checked. Throws Error(kUsage) if
/// `path` is none of these, Error(kDamaged) if something in it is not sound.
nlohmann::ordered_json inspect(const std::string& path, const InspectOptions& options);

}  // namespace switchyard
