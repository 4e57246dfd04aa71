// Where the time of a step goes. Scopes are compiled in and cost one thread-local read while nobody
// profiles; a Profiler collects those of the thread that made it.
//
//   Profiler profiler;
//   train_step(...);                        // inside: const ProfileScope scope("attention
//   forward"); for (const ProfileEntry& entry : profiler.entries()) ...
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace switchyard {

struct ProfileEntry {
  std::string name, detail;  // detail: what it was done on, e.g. a parameter's name; may be ""
  double seconds = 0;        // without the scopes inside it, so that entries add up
  int64_t calls = 0;
};

/// Collects the scopes of this thread while it lives. At most one per thread at a time.
class Profiler {
 public:
  Profiler();
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// All entries so far, by name, then detail.
  std::vector<ProfileEntry> entries() const;
  void reset() { totals_.clear(); }

 private:
  friend class ProfileScope;
  struct Total {
    double seconds = 0;
    int64_t calls = 0;
  };
  std::map<std::pair<std::string, std::string>, Total> totals_;
  class ProfileScope* innermost_ = nullptr;
};

/// Times the block it stands in. Thread-safe: threads without a profiler skip it.
class ProfileScope {
 public:
  /// `name` and `detail` must outlive the scope.
  explicit ProfileScope(const char* name);
  ProfileScope(const char* name, const std::string& detail);
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  void begin();

  Profiler* profiler_;
  const char* name_;
  const std::string* detail_ = nullptr;
  ProfileScope* outer_ = nullptr;
  double inner_seconds_ = 0;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace switchyard
