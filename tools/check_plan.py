#!/usr/bin/env python3
"""Holds what `switchyard plan` predicts against short trainings on this machine, one thread.

Usage: check_plan.py --program build/release/bin/switchyard --text FILE... [--folder DIR] [--only NAME...]

Each case is trained for some dozens of steps, then planned by a process that measures the machine anew (`--machine
this`: steps of models of its own, the same ones for all cases). Compared are
  memory   the plan's peak against the peak resident memory of the process (VmHWM);
  time     the plan's step against the processor time of a step: of the thread that trains, from its schedstat,
           over all steps but the first ones. On a machine that does nothing else that is the time of a step;
           where others compute too, the median of the wall clock, printed beside, says how much they took.
The share of dropped tokens is the one thing that the plan is told afterwards (it depends on the text): the
column "drop" shows it.
Exits 1 if a peak is off by more than 10 % or a step by more than 15 %.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MEMORY_LIMIT, TIME_LIMIT = 0.10, 0.15
WARM_UP = 4  # steps that are not counted

RECIPE = """
[model]
d_model = 128
d_ff = 512
d_kv = 32
num_heads = 4
num_encoder_layers = 3
num_decoder_layers = 3
vocab_size = 4096
[model.moe]
num_experts = 8
group_sequences = 16
[data]
input_length = 128
[optimizer]
warmup_steps = 20
[train]
batch_sequences = 32
log_every = 1
evaluate_every = 0
evaluate_sequences = 16
checkpoint_every = 0
tensorboard = false
"""

CASES = {
    "8 experts, d 128": (40, []),
    "dense, d 256": (24, ["model.moe.num_experts=0", "model.d_model=256", "model.d_ff=1024",
                          "model.num_heads=8", "train.batch_sequences=16"]),
    "32 experts, AdamW": (24, ["model.moe.num_experts=32", "model.d_model=160", "model.d_ff=640",
                               "model.num_heads=5", "optimizer.kind=adamw",
                               "optimizer.learning_rate=0.001"]),
    "GEGLU, momentum": (24, ["model.feed_forward=geglu", "model.tie_embeddings=false",
                             "optimizer.momentum=0.9", "model.moe.sparse_every=1",
                             "data.input_length=256", "train.batch_sequences=16"]),
    "64 experts, passes of 16": (24, ["model.moe.num_experts=64", "train.batch_sequences=64",
                                      "train.micro_batch_sequences=16"]),
    "d 320, 4+2 blocks": (14, ["model.d_model=320", "model.d_ff=1280", "model.d_kv=64",
                               "model.num_heads=5", "model.num_encoder_layers=4",
                               "model.num_decoder_layers=2", "train.batch_sequences=16"]),
    "recomputed, 8 blocks": (20, ["train.recompute=true", "model.num_encoder_layers=8",
                                  "model.num_decoder_layers=4"]),
    "recomputed, d 256": (10, ["train.recompute=true", "model.d_model=256", "model.d_ff=1024",
                               "model.num_heads=8", "model.num_encoder_layers=6",
                               "optimizer.kind=adamw", "optimizer.learning_rate=0.001"]),
    "float32": (14, ["train.precision=fp32"]),
}


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command[:3]))} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def settings(folder, changes):
    words = ["--recipe", folder / "recipe.toml"]
    for change in [f"data.train={folder}/data/train", f"data.validation={folder}/data/validation",
                   *changes]:
        words += ["--set", change]
    return words


def prepare(program, folder, texts):
    (folder / "recipe.toml").write_text(RECIPE)
    if (folder / "data").exists():
        return
    run([program, "tokenizer", "train", "--input", *texts, "--vocab-size", 4096, "--output",
         folder / "spiece.model"])
    run([program, "prepare", "--input", *texts, "--tokenizer", folder / "spiece.model", "--output",
         folder / "data"])


def count_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def thread_seconds(pid):
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) * 1e-9


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def train(program, folder, steps, changes):
    """-> peak bytes, processor seconds of a step, wall seconds of a step, share of dropped tokens."""
    directory = folder / "run"
    shutil.rmtree(directory, ignore_errors=True)
    metrics = directory / "metrics.jsonl"
    process = subprocess.Popen(
        [str(word) for word in [program, "--threads", 1, "--log-level", "error", "train",
                                *settings(folder, [*changes, f"train.steps={steps}"]), "--run-dir",
                                directory, "--json"]], stdout=subprocess.DEVNULL)
    seen, peak = [], 0  # (lines of metrics, processor seconds when they were first there)
    while process.poll() is None:
        try:
            lines, spent = count_lines(metrics), thread_seconds(process.pid)
            peak = max(peak, resident(process.pid))
        except (FileNotFoundError, ProcessLookupError, IndexError):
            break
        if not seen or seen[-1][0] != lines:
            seen.append((lines, spent))
        time.sleep(0.01)
    if process.wait() != 0:
        sys.exit(f"training ended with {process.returncode}")
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    rows = [row for row in rows if row["kind"] == "train"]
    # The first line of metrics tells of the start; then there is one a step.
    first = next(pair for pair in seen if pair[0] > WARM_UP)
    last = [pair for pair in seen if pair[0] <= steps + 1][-1]
    wall = statistics.median(b["seconds"] - a["seconds"] for a, b in zip(rows[WARM_UP:], rows[WARM_UP + 1:]))
    dropped = statistics.mean(row.get("dropped_share", 0) for row in rows[WARM_UP:])
    return peak, (last[1] - first[1]) / (last[0] - first[0]), wall, dropped


def plan(program, folder, changes, dropped):
    return json.loads(run([program, "--threads", 1, "plan", *settings(folder, changes), "--machine",
                           "this", "--dropped", dropped, "--json"]))


def check(program, folder, name, steps, changes):
    peak, processor, wall, dropped = train(program, folder, steps, changes)
    planned = plan(program, folder, changes, dropped)
    memory = planned["peak_memory"] / peak - 1
    step = planned["step_seconds"] / processor - 1
    print(f"| {name} | {planned['parameters'] / 1e6:.1f} M | {planned['peak_memory'] / 2**20:.0f} | "
          f"{peak / 2**20:.0f} | {100 * memory:+.1f} % | {planned['step_seconds'] * 1e3:.0f} | "
          f"{processor * 1e3:.0f} | {100 * step:+.1f} % | {wall * 1e3:.0f} | {100 * dropped:.1f} % |",
          flush=True)
    return abs(memory) <= MEMORY_LIMIT and abs(step) <= TIME_LIMIT


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--text", required=True, nargs="+", help="to train on, some megabytes")
    parser.add_argument("--folder", help="keeps data and runs; default: a temporary one")
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="check-plan-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        prepare(options.program, folder, options.text)
        print("| training | parameters | peak planned, MiB | measured | | step planned, ms | processor | |"
              " wall | drop |\n|---|---|---|---|---|---|---|---|---|---|")
        good = [check(options.program, folder, name, *CASES[name]) for name in options.only]
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
