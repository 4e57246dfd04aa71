#!/usr/bin/env bash
# Does a dense model with experts added pass the dense model that goes on? A dense model is trained on
# English text, upcycled, and both go on for as many steps of equal FLOPs with new optimizers
# (docs/upcycling.md).
#
# Usage: experiments/upcycle/run.sh
#   UPCYCLE_TEXT     folder of train-*.jsonl.zst and validation.jsonl.zst, default ../shared/data/english
#   UPCYCLE_DIR      where everything goes, default runs/upcycle
#   UPCYCLE_SEED     default 1
#   UPCYCLE_STEPS    of the dense model before, and of each after, default 1500
#   UPCYCLE_EXPERTS  default 16
#   UPCYCLE_GATES    ways of gating to try, default "normalized straight_through"
#   UPCYCLE_THREADS  default 1
# Called again, it goes on where it was stopped; finished parts are not done again.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
text=${UPCYCLE_TEXT:-../shared/data/english}
folder=${UPCYCLE_DIR:-runs/upcycle}
seed=${UPCYCLE_SEED:-1}
steps=${UPCYCLE_STEPS:-1500}
experts=${UPCYCLE_EXPERTS:-16}
gates=${UPCYCLE_GATES:-normalized straight_through}
threads=${UPCYCLE_THREADS:-1}
program=build/release/bin/switchyard
recipe=experiments/upcycle/recipe.toml

[ -x "$program" ] || { echo "upcycle: error: no $program; build it with \`make build\`" >&2; exit 2; }
[ -e "$text/validation.jsonl.zst" ] ||
  { echo "upcycle: error: no $text/validation.jsonl.zst; name a folder in UPCYCLE_TEXT" >&2; exit 2; }

say() { printf '\n== %s\n' "$*"; }

train() { # train NAME SETTING...
  local run=$folder/runs/$1 words=()
  shift
  for setting in "$@"; do words+=(--set "$setting"); done
  say "training $run"
  "$program" train --recipe "$recipe" --set "data.train=$folder/data/train" \
    --set "data.validation=$folder/held-out/train" --set "train.seed=$seed" \
    --set "train.steps=$steps" --threads "$threads" "${words[@]}" --run-dir "$run"
}

# In float32, where rounding hides no difference.
nlp_of() { # nlp_of MODEL
  "$program" eval --model "$1" --data "$folder/held-out/train" --sequences 4096 --input-length 16 \
    --precision fp32 --threads "$threads" --json | sed -nE 's/.*"nlp":(-?[0-9.e-]+).*/\1/p'
}

mkdir -p "$folder"
if [ ! -s "$folder/spiece.model" ]; then
  say "a vocabulary of 8,192"
  "$program" tokenizer train --input "$text"/train-*.jsonl.zst --sample-mib 6 --vocab-size 8192 \
    --output "$folder/spiece.model"
fi
if [ ! -d "$folder/data" ]; then
  say "token ids"
  "$program" prepare --input "$text"/train-*.jsonl.zst --tokenizer "$folder/spiece.model" --output "$folder/data" \
    --validation-share 0
fi
if [ ! -d "$folder/held-out" ]; then
  "$program" prepare --input "$text/validation.jsonl.zst" --tokenizer "$folder/spiece.model" \
    --output "$folder/held-out" --validation-share 0
fi
train before
say "experts are added"
: > "$folder/start.txt"
runs=("$folder/runs/dense")
for gate in $gates; do
  rm -rf "$folder/$gate"
  "$program" upcycle --model "$folder/runs/before" --num-experts "$experts" --gate "$gate" \
    --seed "$seed" --output "$folder/$gate" --threads "$threads"
  sparse=$(nlp_of "$folder/$gate")
  dense=$(nlp_of "$folder/runs/before")
  printf '%s: held-out NLP %s, of the dense model %s\n' "$gate" "$sparse" "$dense" |
    tee -a "$folder/start.txt"
done
# Other data order and masks than before: the same texts again, as training on would see them.
train dense "train.start_from=$folder/runs/before" "train.seed=$((seed + 1000))"
for gate in $gates; do
  train "upcycled-$gate" "train.start_from=$folder/$gate" "train.seed=$((seed + 1000))" \
    "model.moe.num_experts=$experts" "model.moe.gate=$gate"
  runs+=("$folder/runs/upcycled-$gate")
done
"$program" report "${runs[@]}" --output "$folder/report.html"
cat "$folder/start.txt"
say "done: open $folder/report.html in a browser"
