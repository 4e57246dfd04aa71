// The files of recipes/tasks/, put into the library at build time (embed_tasks.cmake), by name.
#pragma once

#include <span>
#include <string_view>

namespace switchyard {

struct ReadyTask {
  std::string_view name, toml;
};
extern const std::span<const ReadyTask> kReadyTasks;

}  // namespace switchyard
