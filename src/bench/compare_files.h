// Two results of `bench --json` side by side, of whichever kind.
#pragma once

#include <string>

namespace switchyard {

/// Reads both files and compares them: compare_step_records() or compare_op_records(). Throws a
/// usage Error that names the file when one is not a result of `bench --json`, and one that names
/// both when they are of different kinds.
std::string compare_bench_files(const std::string& before, const std::string& after);

}  // namespace switchyard
