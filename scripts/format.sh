#!/usr/bin/env bash
# Formats all C++ of the repository with clang-format 14 (.clang-format); the files named, if any.
# Usage: scripts/format.sh [--check] [FILE...]     --check: change nothing, exit 1 if something would.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mode=(-i)
if [ "${1:-}" = --check ]; then
  mode=(--dry-run --Werror)
  shift
fi
# Another major version breaks lines differently, and two people would undo each other's work.
format=$(command -v clang-format-14 || true)
if [ -z "$format" ]; then
  echo "format: clang-format-14 is missing: apt-get install clang-format-14" >&2
  exit 2
fi
if [ $# -gt 0 ]; then
  "$format" "${mode[@]}" "$@"
else
  git ls-files -z --cached --others --exclude-standard '*.h' '*.cpp' | xargs -0 -r "$format" "${mode[@]}"
fi
