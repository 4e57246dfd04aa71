#include "train/health/roll_backs.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"
#include "base/json.h"

namespace switchyard {
namespace {

std::string path_in(const std::string& run_directory) { return run_directory + "/roll_backs.json"; }

RollBack roll_back_of(const nlohmann::json& object) {
  RollBack one;
  object.at("step").get_to(one.step);
  object.at("checkpoint").get_to(one.checkpoint);
  const auto batches = object.at("skipped_batches").get<std::pair<uint64_t, uint64_t>>();
  one.begin = batches.first;
  one.end = batches.second;
  object.at("reason").get_to(one.reason);
  return one;
}

}  // namespace

std::vector<RollBack> read_roll_backs(const std::string& run_directory) {
  const std::string path = path_in(run_directory);
  std::vector<RollBack> all;
  if (!std::filesystem::exists(path)) return all;
  try {
    const nlohmann::json file = parse_json(read_file(path), path);
    for (const nlohmann::json& object : file.at("roll_backs")) {
      all.push_back(roll_back_of(object));
    }
  } catch (const nlohmann::json::exception& error) {
    throw damaged_error(format("unsound list of roll backs ({})", error.what()), path,
                        "restore the file; without it other batches would follow");
  }
  return all;
}

void write_roll_backs(const std::string& run_directory, const std::vector<RollBack>& all) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const RollBack& one : all) {
    list.push_back({{"step", one.step},
                    {"checkpoint", one.checkpoint},
                    {"skipped_batches", {one.begin, one.end}},
                    {"reason", one.reason}});
  }
  const nlohmann::ordered_json object = {{"roll_backs", list}};
  write_file(path_in(run_directory),
             object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

SkippedBatches batches_skipped_by(const std::vector<RollBack>& all) {
  SkippedBatches skipped;
  for (const RollBack& one : all) skipped.add(one.begin, one.end);
  return skipped;
}

}  // namespace switchyard
