#include "base/profile.h"

namespace switchyard {
namespace {

thread_local Profiler* current = nullptr;

}  // namespace

Profiler::Profiler() { current = this; }
Profiler::~Profiler() { current = nullptr; }

std::vector<ProfileEntry> Profiler::entries() const {
  std::vector<ProfileEntry> entries;
  for (const auto& [key, total] : totals_) {
    entries.push_back({key.first, key.second, total.seconds, total.calls});
  }
  return entries;
}

ProfileScope::ProfileScope(const char* name) : profiler_(current), name_(name) {
  if (profiler_) begin();
}

ProfileScope::ProfileScope(const char* name, const std::string& detail)
    : profiler_(current), name_(name), detail_(&detail) {
  if (profiler_) begin();
}

void ProfileScope::begin() {
  outer_ = std::exchange(profiler_->innermost_, this);
  start_ = std::chrono::steady_clock::now();
}

ProfileScope::~ProfileScope() {
  if (!profiler_) return;
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  profiler_->innermost_ = outer_;
  if (outer_) outer_->inner_seconds_ += seconds;
  Profiler::Total& total = profiler_->totals_[{name_, detail_ ? *detail_ : std::string()}];
  total.seconds += seconds - inner_seconds_;
  ++total.calls;
}

}  // namespace switchyard
