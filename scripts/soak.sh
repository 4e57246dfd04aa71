#!/bin/sh
# Long versions of the tests of crashes, damage and full disks (CONTRIBUTING.md). Needs `make all`.
#   scripts/soak.sh [BUILD]
set -eu
cd "$(dirname "$0")/.."
bin=${1:-build/release}/bin
export OMP_WAIT_POLICY=passive
export SWITCHYARD_SOAK_KILLS="${SWITCHYARD_SOAK_KILLS:-200}"
export SWITCHYARD_SOAK_FAULTS="${SWITCHYARD_SOAK_FAULTS:-25}"
export SWITCHYARD_DAMAGE_FLIPS="${SWITCHYARD_DAMAGE_FLIPS:-10000}"
"$bin/train_test" --gtest_filter='CheckpointDamageTest.*:CheckpointFaultsTest.*'
"$bin/soak_program_test"
