#!/usr/bin/env bash
# From nothing to a measured answer: does a Switch Transformer learn faster than a dense T5 that costs
# the same per token? Sets the machine up, builds the program, makes data from a dictionary, trains
# three models on it (recipes/quickstart.toml) and compares them.
#
# Usage: scripts/quickstart.sh        (or: make quickstart)
#   QUICKSTART_MINUTES   minutes of training in all, default 15: more steps, clearer answer
#   QUICKSTART_DIR       where everything goes, default quickstart/
#   QUICKSTART_SEED      seed of initialization, data order and masks, default 1
#
# Called again, it goes on where it was stopped; finished parts are not done again. After a change of the
# recipe, remove the folder or name another one.
set -euo pipefail
export LC_ALL=C  # decimal points, whatever the user's language
cd "$(dirname "${BASH_SOURCE[0]}")/.."
minutes=${QUICKSTART_MINUTES:-15}
folder=${QUICKSTART_DIR:-quickstart}
seed=${QUICKSTART_SEED:-1}
recipe=recipes/quickstart.toml
program=build/release/bin/switchyard
steps_per_minute=200  # of all three models together, on two cores with bfloat16 instructions
models=(dense:0 switch-8:8 switch-32:32)

say() { printf '\n== %s\n' "$*"; }
fail() { # fail WHAT HOW_TO_GO_ON
  printf 'quickstart: error: %s; %s\n' "$1" "$2" >&2
  exit 2
}

check_settings() {
  if ! [[ $minutes =~ ^[0-9]*\.?[0-9]+$ ]] || awk "BEGIN {exit $minutes > 0}"; then
    fail "QUICKSTART_MINUTES is '$minutes'" "give a number of minutes above 0"
  fi
  [[ $seed =~ ^[0-9]+$ ]] || fail "QUICKSTART_SEED is '$seed'" "give a whole number"
}

# Settings of one model: its experts, the precision of all three and where the data is.
settings() { # settings EXPERTS
  printf '%s\n' --set "model.moe.num_experts=$1" --set "train.seed=$seed" \
    --set "data.train=$folder/data/train" --set "data.validation=$folder/data/validation" \
    --set "train.precision=$precision"
}

make_data() {
  mkdir -p "$folder"
  if [ ! -s "$folder/gcide.txt" ]; then
    say "text: the GNU Collaborative International Dictionary of English"
    scripts/gcide_text.sh > "$folder/gcide.txt.part"
    mv "$folder/gcide.txt.part" "$folder/gcide.txt"
  fi
  if [ ! -s "$folder/spiece.model" ]; then
    say "tokenizer: a vocabulary of 8,192 from a sample of the text"
    "$program" tokenizer train --input "$folder/gcide.txt" --vocab-size 8192 --sample-mib 6 \
      --output "$folder/spiece.model"
  fi
  if [ ! -d "$folder/data" ]; then
    say "data: text to token ids, 2 % of the entries held out"
    "$program" prepare --input "$folder/gcide.txt" --tokenizer "$folder/spiece.model" \
      --output "$folder/data" --validation-share 0.02
  fi
}

# Seconds of one training step, undisturbed: other work on the machine comes and goes.
step_seconds() { # step_seconds EXPERTS STEPS
  local words
  mapfile -t words < <(settings "$1")
  "$program" bench --recipe "$recipe" "${words[@]}" --steps "$2" --json |
    sed -nE 's/.*"fastest":([0-9.e-]+).*/\1/p'
}

# bfloat16 pays only where the processor multiplies it, and not on every one that does. It is the paper's
# choice, so it is taken unless clearly slower. Sets `precision`.
choose_precision() {
  local float bfloat
  precision=fp32
  grep -q avx512_bf16 /proc/cpuinfo || return 0
  float=$(step_seconds 32 6)
  precision=bf16-selective
  bfloat=$(step_seconds 32 6)
  if awk "BEGIN {exit !($bfloat > 1.05 * $float)}"; then precision=fp32; fi
}

# Precision and steps of every run, chosen once: what QUICKSTART_MINUTES allows on two modern cores, down to
# half of that on a machine that turns out slower. Kept, so that a second call goes on with the same. Sets
# `steps` and `precision`.
choose_steps() {
  local total=0 model seconds before
  if [ -s "$folder/steps" ]; then
    read -r steps before precision < "$folder/steps"
    [ "$before" = "$minutes" ] || fail "$folder was made with QUICKSTART_MINUTES=$before" \
      "give the same, or another QUICKSTART_DIR, or remove $folder/steps and $folder/runs"
    [ -n "$precision" ] || fail "$folder/steps names no precision" "remove it and $folder/runs"
    return 0
  fi
  say "steps: how fast is this machine?"
  choose_precision
  for model in "${models[@]}"; do
    seconds=$(step_seconds "${model#*:}" 8)
    [ -n "$seconds" ] || fail "the speed of ${model%:*} could not be measured" "see the message above"
    printf '%-10s %4.0f ms a step in %s\n' "${model%:*}" "$(awk "BEGIN {print $seconds * 1000}")" "$precision"
    total=$(awk "BEGIN {print $total + $seconds}")
  done
  awk -v minutes="$minutes" -v rate="$steps_per_minute" -v total="$total" -v precision="$precision" 'BEGIN {
    wanted = minutes * rate; possible = minutes * 60 / total; least = wanted * 0.5
    steps = wanted < possible ? wanted : (possible > least ? possible : least)
    steps = 100 * int(steps / 100)
    print (steps < 100 ? 100 : steps), minutes, precision
  }' > "$folder/steps.part"
  mv "$folder/steps.part" "$folder/steps"
  read -r steps before precision < "$folder/steps"
  printf '%s steps for each model\n' "$steps"
  if [ "$steps" -lt 1000 ]; then
    printf 'note: below 1,000 steps the models hardly differ yet; QUICKSTART_MINUTES=15 gives an answer\n'
  fi
}

train_models() {
  local model words
  for model in "${models[@]}"; do
    say "training ${model%:*}: $steps steps"
    mapfile -t words < <(settings "${model#*:}")
    "$program" train --recipe "$recipe" "${words[@]}" --set "train.steps=$steps" \
      --run-dir "$folder/runs/${model%:*}"
  done
}

compare() {
  local model
  say "comparison at equal steps, tokens and time"
  "$program" report "${models[@]/#/$folder/runs/}" --output "$folder/report.html"
}

fill_masks() {
  say "what the largest model fills into masks (greedy decoding)"
  local text filled
  for text in \
    "Abandon v. t. To <extra_id_0>; as, to abandon a country." \
    "Chestnut n. The <extra_id_0> of the genus Castanea." \
    "Swift adj. Moving <extra_id_0>; rapid; quick."; do
    filled=$("$program" generate --model "$folder/runs/switch-32" --text "$text" \
      --max-new-tokens 32 --precision "$precision" --fill)
    printf '  %s\n  -> %s\n' "$text" "$filled"
  done
}

check_settings
say "set-up and build"
scripts/setup.sh --text
make --no-print-directory build PRESET=release
make_data
choose_steps
train_models
models=("${models[@]%:*}")
compare
fill_masks
say "done: open $folder/report.html in a browser"
