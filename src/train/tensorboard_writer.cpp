#include "train/tensorboard_writer.h"

#include <chrono>
#include <cmath>
#include <filesystem>

#include "base/format.h"
#include "train/event_record.h"

namespace switchyard {
namespace {

double or_now(double wall_time) {
  if (wall_time != 0) return wall_time;
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since_epoch).count();
}

// A name after those of all files in the directory, also within one second.
std::string next_file(const std::string& directory) {
  make_directories(directory);
  int files = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    files += entry.path().filename().string().find("tfevents") != std::string::npos;
  }
  return format("{}/events.out.tfevents.{:010.0f}.{:06}", directory, std::floor(or_now(0)), files);
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::string& directory, int64_t first_step)
    : file_(next_file(directory)) {
  const double now = or_now(0);
  file_.append(tfrecord(version_event(now)));
  if (first_step > 0) file_.append(tfrecord(session_start_event(first_step, now)));
}

void TensorBoardWriter::scalar(const std::string& tag, int64_t step, double value,
                               double wall_time) {
  file_.append(tfrecord(scalar_event(tag, step, value, or_now(wall_time))));
}

void TensorBoardWriter::histogram(const std::string& tag, int64_t step,
                                  std::span<const double> weights, double wall_time) {
  file_.append(tfrecord(histogram_event(tag, step, weights, or_now(wall_time))));
}

}  // namespace switchyard
