// Text formatting of the whole project: fmt, header-only so that no library has to link it.
#pragma once
#ifndef FMT_HEADER_ONLY
#define FMT_HEADER_ONLY
#endif
#include <fmt/format.h>

namespace switchyard {
using fmt::format;
}  // namespace switchyard
