// The one logger: lines on stderr, `[level] text`. Thread-safe. Results meant for a program go to
// stdout and never through here.
#pragma once

#include <string>

#include "base/format.h"

namespace switchyard {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

/// Lines below `level` are dropped. Default kInfo, or the environment's SWITCHYARD_LOG
/// (debug, info, warning, error, off).
void set_log_level(LogLevel level);
void log_line(LogLevel level, const std::string& text);

template <class... Args>
void log_debug(fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::kDebug, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace switchyard
