// What machine this is, for the records of a run.
#pragma once

#include <string>

namespace switchyard {

/// The processor's name as the kernel gives it, or "unknown".
std::string processor_name();

/// The time now, UTC, as "2026-01-31T23:59:59Z".
std::string utc_time();

}  // namespace switchyard
