#include "data/prepare_state.h"

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace switchyard {
namespace {

nlohmann::ordered_json to_json(const PrepareState::Split& split) {
  return {{"documents", split.documents}, {"hash", split.hash}};
}

PrepareState::Split split_of(const nlohmann::json& object) {
  return {object.at("documents").get<uint64_t>(), object.at("hash").get<std::string>()};
}

}  // namespace

void PrepareState::write(const std::string& folder) const {
  const nlohmann::ordered_json object = {{"job", job},
                                         {"batches", batches},
                                         {"input_hash", input_hash},
                                         {"notes", notes},
                                         {"tokens", tokens},
                                         {"without_tokens", without_tokens},
                                         {"read", read.to_json()},
                                         {"train", to_json(train)},
                                         {"validation", to_json(validation)}};
  write_file(folder + "/" + kFileName, object.dump(2) + "\n");
}

std::optional<PrepareState> PrepareState::read_from(const std::string& folder) {
  const std::string path = folder + "/" + kFileName;
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const nlohmann::json object = parse_json(read_file(path), path);
    PrepareState state;
    object.at("job").get_to(state.job);
    object.at("batches").get_to(state.batches);
    object.at("input_hash").get_to(state.input_hash);
    object.at("notes").get_to(state.notes);
    object.at("tokens").get_to(state.tokens);
    object.at("without_tokens").get_to(state.without_tokens);
    state.read = ReadCounts::from_json(object.at("read"));
    state.train = split_of(object.at("train"));
    state.validation = split_of(object.at("validation"));
    return state;
  } catch (const Error&) {
  } catch (const nlohmann::json::exception&) {
  }
  return std::nullopt;
}

}  // namespace switchyard
