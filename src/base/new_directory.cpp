#include "base/new_directory.h"

#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/format.h"

namespace switchyard {
namespace {

std::string without_last_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

NewDirectory::NewDirectory(const std::string& path)
    : path_(without_last_slash(path)), temporary_(format("{}.tmp-{}", path_, ::getpid())) {
  if (std::filesystem::exists(std::filesystem::symlink_status(path_))) {
    throw usage_error("there is something of this name already", path, "name a new directory");
  }
  make_directories(temporary_);
}

NewDirectory::~NewDirectory() {
  if (!committed_) remove_tree(temporary_);
}

void NewDirectory::commit() {
  commit_directory(temporary_, path_);
  committed_ = true;
}

}  // namespace switchyard
