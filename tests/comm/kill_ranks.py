#!/usr/bin/env python3
"""Kills random ranks of trainings at random moments; the same command, on the same mesh or on another, goes
on from the last checkpoint, and what comes out is held against a training that nobody disturbed: on the same
mesh bit for bit, on another in what is kept and dropped exactly, in losses and weights to 1e-5.

Usage: kill_ranks.py PROGRAM [--kills 50] [--seed 1]
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tiny_training import command, make_data, training_lines  # noqa: E402

MESHES = ((2, 1, 1), (1, 2, 1), (1, 1, 2), (4, 1, 1), (1, 4, 1), (2, 2, 1), (1, 2, 2), (2, 1, 2))
STEPS = 60
SETTINGS = (f"train.steps={STEPS}", "train.checkpoint_every=5")
END_SECONDS = 30
TOLERANCE = 1e-5


def fail(text):
    print(f"FAILED: {text}", file=sys.stderr)
    sys.exit(1)


def mpirun(program, folder, run, mesh):
    ranks = mesh[0] * mesh[1] * mesh[2]
    axes = [f"mesh.{axis}={size}" for axis, size in zip(("data", "expert", "model"), mesh)]
    return ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", str(ranks),
            *command(program, folder, run, *SETTINGS, *axes)]


def finish(program, folder, run, mesh):
    done = subprocess.run(mpirun(program, folder, run, mesh), capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        fail(f"{run} on {mesh} ended with {done.returncode}: {done.stderr}")


def weights(folder, run):
    """name -> its float32 numbers, of the last checkpoint."""
    tensors = {}
    for path in sorted((folder / run / "checkpoints" / f"step-{STEPS:08}").glob("model*.safetensors")):
        data = path.read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        for name, entry in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                raw = data[8 + size + begin:8 + size + end]
                tensors[name] = struct.unpack(f"<{len(raw) // 4}f", raw)
    return tensors


def compare(folder, run, reference, exact):
    ours, theirs = weights(folder, run), weights(folder, reference)
    if ours.keys() != theirs.keys():
        fail(f"{run} has other tensors than {reference}")
    worst = max(abs(a - b) for name in ours for a, b in zip(ours[name], theirs[name]))
    lines, expected = training_lines(folder, run), training_lines(folder, reference)
    if lines.keys() != expected.keys():
        fail(f"{run} has lines of other steps than {reference}")
    for step, line in expected.items():
        worst = max(worst, abs(line["loss"] - lines[step]["loss"]))
        if line["dropped_share"] != lines[step]["dropped_share"]:
            fail(f"{run} drops other tokens than {reference} at step {step}")
    if worst > (0 if exact else TOLERANCE):
        fail(f"{run} differs from {reference} by {worst}")
    return worst


def children_of(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_one(program, folder, run, mesh, draw):
    """-> seconds from the kill until all had ended; None if the training was over before."""
    process = subprocess.Popen(mpirun(program, folder, run, mesh), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    first = folder / run / "checkpoints" / "step-00000005"
    began = time.monotonic()
    while not first.exists() and process.poll() is None and time.monotonic() - began < 120:
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.8))
    ranks = children_of(process.pid) if process.poll() is None else []
    if not ranks:
        process.wait()
        return None
    os.kill(draw.choice(ranks), signal.SIGKILL)
    killed = time.monotonic()
    try:
        errors = process.communicate(timeout=END_SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        fail(f"ranks of {run} live {END_SECONDS} s after one was killed")
    last = folder / run / "checkpoints" / f"step-{STEPS:08}"
    if process.returncode == 0 or last.exists():  # it had done all steps: nothing to go on with
        return None
    if "is gone" not in errors:
        fail(f"no error names the killed rank of {run}: {errors}")
    return time.monotonic() - killed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_data(program, folder)
        references, kills, slowest, worst = {}, 0, 0.0, 0.0
        while kills < arguments.kills:
            mesh = draw.choice(MESHES)
            same = kills % 2 == 0
            after = mesh if same else draw.choice([other for other in MESHES if other != mesh])
            if mesh not in references:
                references[mesh] = "whole-" + "x".join(map(str, mesh))
                finish(program, folder, references[mesh], mesh)
            took = kill_one(program, folder, "killed", mesh, draw)
            if took is not None:
                finish(program, folder, "killed", after)
                difference = compare(folder, "killed", references[mesh], exact=same)
                kills, slowest, worst = kills + 1, max(slowest, took), max(worst, difference)
                print(f"kill {kills}: {mesh}, on with {after}, ended after {took:.2f} s, "
                      f"differs by {difference:.2g}", flush=True)
            shutil.rmtree(folder / "killed")
    print(f"{kills} kills, {kills // 2} of them continued on another mesh; all ended within {slowest:.1f} s; "
          f"largest difference {worst:.2g}, 0 on the same mesh")


if __name__ == "__main__":
    main()
