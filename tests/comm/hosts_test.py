#!/usr/bin/env python3
"""Training over two hosts through the real program: a run completes over TCP as on one rank, and a link
that is cut ends every rank in time, with an error that names it.

Usage: hosts_test.py PROGRAM. Exit status 77: this machine has no network namespaces to be hosts.
"""
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tiny_training import command, make_data, training_lines  # noqa: E402
from two_hosts import Missing, TwoHosts  # noqa: E402

SKIPPED = 77
END_SECONDS = 30       # after which no rank may be left
LAUNCHER_SECONDS = 60  # after which mpirun must have given the other host up


def fail(text):
    print(f"FAILED: {text}", file=sys.stderr)
    sys.exit(1)


def trains_as_one(program, folder):
    subprocess.run(command(program, folder, "one"), check=True, capture_output=True)
    with TwoHosts(folder, delay_ms=2, rate_mbit=200) as hosts:
        done = subprocess.run(hosts.mpirun(command(program, folder, "two", "mesh.expert=2",
                                                   "mesh.exchange_chunks=2", "mesh.background=true")),
                              capture_output=True, text=True, timeout=120)
        sent = min(hosts.link.bytes)
    if done.returncode != 0:
        fail(f"two hosts ended with {done.returncode}: {done.stderr}")
    if sent < 100_000:
        fail(f"only {sent} bytes went over the link")
    one, two = training_lines(folder, "one"), training_lines(folder, "two")
    worst = max(abs(line["loss"] - two[step]["loss"]) for step, line in one.items())
    if worst > 1e-5:
        fail(f"losses differ by {worst}")


def ranks_left(program, run):
    """Ranks of this run that still live, whatever namespace they are in."""
    pattern = f"^{program} train --recipe .*--run-dir {run} "
    return subprocess.run(["pgrep", "-f", pattern], capture_output=True).stdout.split()


def ends_when_cut(program, folder):
    with TwoHosts(folder) as hosts:
        run = folder / "cut"
        words = command(program, folder, "cut", "mesh.data=2", "train.steps=1000000", "train.checkpoint_every=10")
        process = subprocess.Popen(hosts.mpirun(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        checkpoint = run / "checkpoints" / "step-00000010"
        began = time.monotonic()
        while not checkpoint.exists():
            if process.poll() is not None or time.monotonic() - began > 60:
                process.kill()
                fail(f"no checkpoint: {process.communicate()[1]}")
            time.sleep(0.05)
        hosts.link.cut()
        cut = time.monotonic()
        told = []
        reader = threading.Thread(target=lambda: told.extend(process.communicate()))
        reader.start()
        while len(ranks_left(program, run)) > 0 and time.monotonic() - cut < END_SECONDS:
            time.sleep(0.2)
        left, took = ranks_left(program, run), time.monotonic() - cut
        reader.join(LAUNCHER_SECONDS)
        if reader.is_alive():
            process.kill()
            fail(f"mpirun lives {LAUNCHER_SECONDS} s after its ranks")
        for pid in left:
            subprocess.run(["kill", "-9", pid])
    if left:
        fail(f"{len(left)} processes are left {END_SECONDS} s after the link was cut")
    errors = [line for line in told[1].splitlines() if "is gone: " in line]
    if not any("cannot be reached" in line for line in errors):
        fail(f"no error names the rank that cannot be reached: {told[1]}")
    newest = sorted(path for path in (run / "checkpoints").iterdir() if path.name.startswith("step-"))[-1]
    subprocess.run([program, "inspect", newest], check=True, capture_output=True)
    print(f"all ranks ended {took:.1f} s after the link was cut: {errors[0]}")


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            with TwoHosts(folder):
                pass
        except Missing as reason:
            print(f"skipped: {reason}")
            sys.exit(SKIPPED)
        make_data(program, folder)
        trains_as_one(program, folder)
        ends_when_cut(program, folder)


if __name__ == "__main__":
    main()
