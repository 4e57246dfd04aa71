#!/usr/bin/env python3
"""What several ranks cost and gain on this machine, side by side and in turn:

  threads   one rank with two threads against two ranks with one thread each on several meshes, tokens a second
  overlap   two hosts that share the experts, over a link of 20 ms and 100 Mbit/s: the exchange of tokens at
            once and waited for, in chunks beside the products, and that with a thread that moves messages on
  volume    bytes over the link in a step, of growing models and batches, against what `plan` says

Hosts are network namespaces (tests/comm/two_hosts.py: root). Nothing else should run.

Usage: tools/bench_ranks.py [threads] [overlap] [volume] [--program P] [--rounds N] [--delay MS] [--rate MBIT]
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "comm"))
from tiny_training import command, make_data, training_lines  # noqa: E402
from two_hosts import TwoHosts  # noqa: E402

MINI = {"model.d_model": 256, "model.d_ff": 1024, "model.d_kv": 32, "model.num_heads": 8,
        "model.num_encoder_layers": 4, "model.num_decoder_layers": 4, "model.vocab_size": 8192,
        "model.moe.num_experts": 8, "model.moe.group_sequences": 4, "data.input_length": 128,
        "train.batch_sequences": 32, "train.precision": "bf16-selective", "train.checkpoint_every": 0}
LOCAL = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np"]


def words_of(settings):
    return [f"{key}={value}" for key, value in settings.items()]


def milliseconds(folder, run, mark):
    """Of a step: the median over the marks after the first."""
    seconds = [line["seconds"] for line in training_lines(folder, run).values()]
    return statistics.median(1000 * (b - a) / mark for a, b in zip(seconds, seconds[1:]))


class Bench:
    def __init__(self, program, folder, rounds):
        self.program, self.folder, self.rounds = program, folder, rounds

    def train(self, launcher, settings, steps, mark, threads=1):
        """-> milliseconds of a step."""
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        words = command(self.program, self.folder, "run",
                        *words_of(settings | {"train.steps": steps, "train.log_every": mark}))
        words[words.index("--threads") + 1] = str(threads)
        done = subprocess.run([*launcher, *words], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench_ranks: error: training ended with {done.returncode}: {done.stderr}")
        return milliseconds(self.folder, "run", mark)

    def in_turn(self, ways):
        """name -> milliseconds of each round."""
        times = {name: [] for name in ways}
        for _ in range(self.rounds):
            for name, way in ways.items():
                times[name].append(way())
        return times

    MESHES = {"2 ranks x 1 thread, data": {"mesh.data": 2}, "2 ranks x 1 thread, expert": {"mesh.expert": 2},
              "2 ranks x 1 thread, model": {"mesh.model": 2},
              "2 ranks x 1 thread, data, shared optimizer": {"mesh.data": 2, "mesh.share_optimizer": "true"}}

    def threads(self):
        tokens = 32 * (128 + training_targets(self.folder, self.program))
        times = self.in_turn({
            "1 rank x 2 threads": lambda: self.train([], MINI, 40, 10, threads=2),
            **{name: lambda mesh=mesh: self.train([*LOCAL, "2"], MINI | mesh, 40, 10)
               for name, mesh in self.MESHES.items()}})
        one = times["1 rank x 2 threads"]
        for name, ms in times.items():
            ratios = sorted(a / b for a, b in zip(one, ms))
            print(f"threads: {name}: {tokens / statistics.median(ms) * 1000:,.0f} tokens/s, "
                  f"{statistics.median(ratios):.2f} of one rank ({ratios[0]:.2f} to {ratios[-1]:.2f})")

    def overlap(self, delay, rate):
        # Wide experts in all blocks and few other weights: of what travels, tokens are the larger part.
        mesh = MINI | {"mesh.expert": 2, "train.batch_sequences": 32, "model.num_encoder_layers": 2,
                       "model.num_decoder_layers": 2, "model.d_ff": 4096, "model.vocab_size": 512,
                       "model.moe.sparse_every": 1}
        ways = {"at once": {}, "4 chunks": {"mesh.exchange_chunks": 4},
                "4 chunks, background": {"mesh.exchange_chunks": 4, "mesh.background": "true"}}
        with TwoHosts(self.folder, delay, rate) as hosts:
            launcher = hosts.mpirun([])
            times = self.in_turn({name: lambda more=more: self.train(launcher, mesh | more, 5, 1)
                                  for name, more in ways.items()})
        base = times["at once"]
        for name, ms in times.items():
            saved = statistics.median(a - b for a, b in zip(base, ms))
            print(f"overlap, {delay:g} ms, {rate:g} Mbit/s: {name}: {statistics.median(ms):,.0f} ms a step, "
                  f"{saved:,.0f} less than at once")

    def volume(self):
        print("| experts | d_model | sequences | bytes a step, measured | planned | |\n|---|---|---|---|---|---|")
        for experts, width, sequences in ((4, 64, 16), (8, 64, 16), (8, 128, 16), (8, 128, 32)):
            settings = MINI | {"model.moe.num_experts": experts, "model.d_model": width, "model.d_ff": 4 * width,
                               "train.batch_sequences": sequences, "mesh.expert": 2}
            with TwoHosts(self.folder) as hosts:
                sent = []
                for steps in (8, 28):
                    before = sum(hosts.link.bytes)
                    self.train(hosts.mpirun([]), settings, steps, 4)
                    sent.append(sum(hosts.link.bytes) - before)
            measured = (sent[1] - sent[0]) / 20 / 2
            drop = statistics.mean(line["dropped_share"] for line in training_lines(self.folder, "run").values())
            plan = subprocess.run(
                [self.program, "plan", "--recipe", self.folder / "recipe.toml", "--mesh", "expert=2", "--machine",
                 "cpu_cluster", "--json", *[word for text in words_of(settings) if not text.startswith("mesh.")
                                            for word in ("--set", text)]],
                capture_output=True, text=True, check=True).stdout
            planned = sum(t["bytes_within_host"] + t["bytes_between_hosts"] for t in json.loads(plan)["traffic"])
            print(f"| {experts} | {width} | {sequences} | {measured:,.0f} ({100 * drop:.0f} % dropped) | "
                  f"{planned:,.0f} | {100 * (planned / measured - 1):+.0f} % |")


def training_targets(folder, program):
    done = subprocess.run(command(program, folder, "lengths", "train.steps=1", *words_of(MINI)),
                          capture_output=True, text=True, check=True)
    del done
    return json.loads((folder / "lengths" / "run.json").read_text())["target_length"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["threads", "overlap", "volume"])
    parser.add_argument("--program", default=ROOT / "build/release/bin/switchyard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=20)
    parser.add_argument("--rate", type=float, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        program = str(pathlib.Path(arguments.program).resolve())
        make_data(program, folder)
        bench = Bench(program, folder, arguments.rounds)
        for what in arguments.what:
            if what == "overlap":
                bench.overlap(arguments.delay, arguments.rate)
            else:
                getattr(bench, what)()


if __name__ == "__main__":
    main()
