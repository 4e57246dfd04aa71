#!/usr/bin/env bash
# Reproduces a chapter of docs/results.md from nothing: builds the program, then does all trainings of the
# experiments whose experiment.toml says `chapter = N`, and makes their pages below runs/experiments/.
# Called again, it goes on where it was stopped; trainings that are finished are not done again.
#
# Usage: scripts/results.sh CHAPTER [ARGUMENT of experiments/run.py...]
#   --publish   puts tables, figures and results.json into docs/results/ too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'results: error: %s; %s\n' "$1" "$2" >&2; exit 2; }

chapters() { sed -nE 's/^chapter = ([0-9]+)$/\1/p' experiments/*/experiment.toml | sort -nu | tr '\n' ' '; }

chapter=${1:-}
[[ $chapter =~ ^[0-9]+$ ]] || fail "no chapter is named" "make results CHAPTER=n, n one of $(chapters)"
shift
names=$(grep -lE "^chapter = $chapter\$" experiments/*/experiment.toml | xargs -rn1 dirname | xargs -rn1 basename || true)
[ -n "$names" ] || fail "no experiment belongs to chapter $chapter" "there is $(chapters)"

make build PRESET=release
environment=.deps/results  # matplotlib, 200 MB; nothing else needs it
if ! "$environment/bin/python" -c 'import matplotlib' 2>/dev/null; then
  python3 -m venv "$environment" || fail "cannot make $environment" "apt-get install python3-venv"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check matplotlib==3.11.2
fi
for name in $names; do "$environment/bin/python" -B experiments/run.py "$name" "$@"; done
