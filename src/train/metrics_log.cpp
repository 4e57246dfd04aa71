#include "train/metrics_log.h"

#include <filesystem>
#include <string_view>

#include <nlohmann/json.hpp>

namespace switchyard {
namespace {

constexpr int kMaxDepth = 16;  // of a sound line: 3; guards the parser's stack

nlohmann::json parse_line(std::string_view line) {
  const auto flat = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth < kMaxDepth;
  };
  return nlohmann::json::parse(line, flat, /*allow_exceptions=*/false);
}

bool is_sound(const nlohmann::json& line) {
  return line.is_object() && line.contains("step") && line["step"].is_number_integer() &&
         line.contains("kind") && line["kind"].is_string();
}

// Calls visit(text, object, complete) for each line that is not empty.
template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      visit(line, parse_line(line), end != std::string_view::npos);
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

std::string read_if_there(const std::string& path) {
  return std::filesystem::exists(path) ? read_file(path) : std::string();
}

}  // namespace

void MetricsLog::write(const nlohmann::ordered_json& line) {
  file_.append(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

MetricsLines read_metrics(const std::string& path) {
  MetricsLines metrics;
  const std::string text = read_if_there(path);
  for_each_line(text, [&](std::string_view, nlohmann::json&& line, bool complete) {
    if (is_sound(line)) {
      metrics.lines.push_back(std::move(line));
    } else if (complete) {
      ++metrics.damaged;
    } else {
      metrics.torn = true;
    }
  });
  return metrics;
}

void cut_metrics(const std::string& path, int64_t step) {
  const std::string text = read_if_there(path);
  std::string kept;
  for_each_line(text, [&](std::string_view line, const nlohmann::json& object, bool) {
    if (!is_sound(object)) return;
    const int64_t limit = step < 0 && object["kind"] == "event" ? 0 : step;
    if (object["step"].get<int64_t>() > limit) return;
    kept += line;
    kept += '\n';
  });
  if (kept != text) write_file(path, kept);
}

}  // namespace switchyard
