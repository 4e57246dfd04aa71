#!/usr/bin/env bash
# Fuzzes the readers of files that come from outside with libFuzzer: Clang with the address and
# undefined-behaviour sanitizers, in build/fuzz. Starts from tests/fuzz/corpus; what is found on the way is
# kept in build/fuzz/corpus, so that the next call goes on.
#
# Usage: scripts/fuzz.sh [--seconds N] [TARGET...]     (or: make fuzz ARGS="--seconds 60 manifest")
#   --seconds N   time for each target, default 600
#   TARGET        as the files in tests/fuzz, without _fuzz.cpp; default: all, one after the other
#
# Exit status: 0 nothing was found; 1 a target failed, its input is in build/fuzz/found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=build/fuzz
seconds=600
if [ "${1:-}" = --seconds ]; then
  seconds=${2:?"--seconds needs a number"}
  shift 2
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in tests/fuzz/*_fuzz.cpp; do targets+=("$(basename "$file" _fuzz.cpp)"); done
fi
for target in "${targets[@]}"; do
  [ -f "tests/fuzz/${target}_fuzz.cpp" ] || { echo "fuzz: error: no target $target" >&2; exit 2; }
done

scripts/setup.sh --fuzz
[ -f $build/build.ninja ] || cmake --preset fuzz
cmake --build $build --parallel "$(scripts/jobs.sh)" --target "${targets[@]/#/fuzz_}"

mkdir -p $build/found
failed=()
for target in "${targets[@]}"; do
  mkdir -p "$build/corpus/$target"
  log=$build/$target.log
  echo "fuzz: $target for $seconds s, log in $log"
  # An input that takes 10 s or 2 GB hangs or fills a machine: that is a finding too.
  "$build/bin/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$build/found/$target-" "$build/corpus/$target" \
    "tests/fuzz/corpus/$target" > "$log" 2>&1 || failed+=("$target")
  grep -E 'cov:' "$log" | tail -n 1 || true
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: found something: ${failed[*]}; see $build/found" >&2; exit 1; }
echo "fuzz: nothing found"
