#!/usr/bin/env bash
# Prints how many compilers may run at once: one per core, but no more than memory allows at 1.5 GB
# each. Respects CPU affinity and the limits of the control groups this process is in.
set -euo pipefail
megabytes_per_job=1500

# Limits of one kind along the path from this process's control group up to the root (cgroup v2).
group_files() { # group_files FILE
  local group
  group=$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null || true)
  while :; do
    [ -r "/sys/fs/cgroup$group/$1" ] && cat "/sys/fs/cgroup$group/$1"
    [ -z "$group" ] || [ "$group" = / ] && break
    group=${group%/*}
  done
  return 0
}

jobs=$(nproc)
while read -r quota period; do
  [ "$quota" = max ] && continue
  cores=$(( (quota + period - 1) / period ))
  [ "$cores" -lt "$jobs" ] && jobs=$cores
done < <(group_files cpu.max)

available=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
while read -r limit; do
  [ "$limit" = max ] && continue
  [ $(( limit >> 20 )) -lt "$available" ] && available=$(( limit >> 20 ))
done < <(group_files memory.max; cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null)
by_memory=$(( available / megabytes_per_job ))
[ "$by_memory" -lt "$jobs" ] && jobs=$by_memory
[ "$jobs" -lt 1 ] && jobs=1
echo "$jobs"
