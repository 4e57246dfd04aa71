#!/usr/bin/env bash
# Do all languages gain from experts? One vocabulary over many languages, sampled in proportion to
# tokens^0.3; a dense model and one with 32 experts of equal cost, measured language by language
# (paper, figures 7 and 8; docs/languages.md).
#
# Usage: experiments/multilingual/run.sh [--set KEY=VALUE ...]      settings of the recipe, for both models
#   MULTILINGUAL_TEXT       folder of LANGUAGE.jsonl.zst and LANGUAGE.validation.jsonl.zst, default ../shared/data/multilingual
#   MULTILINGUAL_LANGUAGES  default: the 28 with the most documents
#   MULTILINGUAL_DIR        where everything goes, default runs/multilingual
#   MULTILINGUAL_SEEDS      default 1
#   MULTILINGUAL_THREADS    of each training, default 1
# Called again, it goes on where it was stopped; finished parts are not done again.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
text=${MULTILINGUAL_TEXT:-../shared/data/multilingual}
languages=${MULTILINGUAL_LANGUAGES:-ar cs de el en es fa fi fr hi hu id it ja ko nl pl pt ro ru sv sw ta th tr uk vi zh}
folder=${MULTILINGUAL_DIR:-runs/multilingual}
seeds=${MULTILINGUAL_SEEDS:-1}
threads=${MULTILINGUAL_THREADS:-1}
program=build/release/bin/switchyard
recipe=experiments/multilingual/recipe.toml

say() { printf '\n== %s\n' "$*"; }

fail() { # fail WHAT HOW_TO_GO_ON
  printf 'multilingual: error: %s; %s\n' "$1" "$2" >&2
  exit 2
}

[ -x "$program" ] || fail "no $program" "build it with \`make build\`"
# Texts to train on and to be measured on come from different documents: the folder says so.
inputs=() held_out=() validation=
for language in $languages; do
  for file in "$text/$language.jsonl.zst" "$text/$language.validation.jsonl.zst"; do
    [ -e "$file" ] || fail "no $file" "name another folder in MULTILINGUAL_TEXT"
  done
  inputs+=("$text/$language.jsonl.zst")
  held_out+=("$text/$language.validation.jsonl.zst")
  validation+="${validation:+, }\"$folder/held-out/$language/train\" = 1.0"
done

mkdir -p "$folder"
if [ ! -s "$folder/spiece.model" ]; then
  say "one vocabulary of 8,192 over all languages, small ones lifted, bytes for rare characters"
  "$program" tokenizer train --input "${inputs[@]}" --balance 0.3 --sample-mib 12 --byte-fallback \
    --character-coverage 0.995 --vocab-size 8192 --output "$folder/spiece.model"
fi
say "token ids of each language"
"$program" prepare --each --input "${inputs[@]}" --tokenizer "$folder/spiece.model" \
  --output "$folder/data" --validation-share 0
"$program" prepare --each --input "${held_out[@]}" --tokenizer "$folder/spiece.model" \
  --output "$folder/held-out" --validation-share 0
runs=()
for seed in $seeds; do
  for model in dense:0 switch-32:32; do
    run=$folder/runs/${model%:*}-seed$seed
    say "training $run"
    "$program" train --recipe "$recipe" --set "data.train=$folder/data" \
      --set "data.validation={ $validation }" --set "model.moe.num_experts=${model#*:}" \
      --set "train.seed=$seed" --threads "$threads" "$@" --run-dir "$run"
    runs+=("$run")
  done
done
say "languages"
"$program" report "${runs[@]}" --output "$folder/report.html" --json > "$folder/report.json"
python3 experiments/multilingual/summary.py "$folder/report.json"
say "done: open $folder/report.html in a browser"
