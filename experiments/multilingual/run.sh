#!/usr/bin/env bash
# Do all languages gain from experts? One vocabulary over many languages, sampled in proportion to
# tokens^0.3; a dense model and one with 32 experts of equal cost, measured language by language
# (paper, figures 7 and 8; docs/languages.md).
#
# Usage: experiments/multilingual/run.sh [--set KEY=VALUE ...]      settings of the recipe, for both models
#   MULTILINGUAL_TEXT       folder of LANGUAGE*.jsonl.zst, default ../shared/data/multilingual
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

inputs=()
for language in $languages; do
  files=("$text/$language".*jsonl*)
  if [ ! -e "${files[0]}" ]; then
    printf 'multilingual: error: no text of %s in %s; name a folder in MULTILINGUAL_TEXT\n' \
      "$language" "$text" >&2
    exit 2
  fi
  inputs+=("${files[@]}")
done

mkdir -p "$folder"
if [ ! -s "$folder/spiece.model" ]; then
  say "one vocabulary of 8,192 over all languages, small ones lifted, bytes for rare characters"
  "$program" tokenizer train --input "${inputs[@]}" --balance 0.3 --sample-mib 12 --byte-fallback \
    --character-coverage 0.995 --vocab-size 8192 --output "$folder/spiece.model"
fi
say "token ids of each language, a tenth of the documents held out"
"$program" prepare --each --input "${inputs[@]}" --tokenizer "$folder/spiece.model" \
  --output "$folder/data" --validation-share 0.1
runs=()
for seed in $seeds; do
  for model in dense:0 switch-32:32; do
    run=$folder/runs/${model%:*}-seed$seed
    say "training $run"
    "$program" train --recipe "$recipe" --set "data.train=$folder/data" \
      --set "data.validation=$folder/data" --set "model.moe.num_experts=${model#*:}" \
      --set "train.seed=$seed" --threads "$threads" "$@" --run-dir "$run"
    runs+=("$run")
  done
done
say "languages"
"$program" report "${runs[@]}" --output "$folder/report.html" --json > "$folder/report.json"
python3 experiments/multilingual/summary.py "$folder/report.json"
say "done: open $folder/report.html in a browser"
