#!/usr/bin/env python3
"""This machine against the aims of docs/performance.md, one line each; `make bench` runs it.

Usage: tools/bench_table.py [--rounds 3] [--large] [--compare] [--program build/release/bin/switchyard]
  --rounds N   ratios of two settings: both sides take turns N times, the fastest step of each counts
  --large      base8 too (8.5 GB, some minutes)
  --compare    Hugging Face beside it, through scripts/oracle.sh (fetches 1.5 GB, some minutes)
"""
import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Bench:
    def __init__(self, program):
        self.program = program

    def run(self, *words):
        result = subprocess.run([self.program, "bench", "--json", *words], stdout=subprocess.PIPE,
                                text=True)
        if result.returncode:
            sys.exit(result.returncode)  # the program has said why
        return json.loads(result.stdout)

    def step(self, shape, steps, **keys):
        settings = [word for key, value in keys.items()
                    for word in ("--set", f"{key.replace('__', '.')}={value}")]
        return self.run("--shape", shape, "--steps", str(steps), *settings)

    def fastest(self, shape, steps, rounds, settings):
        """The fastest step of each of the settings, which take turns."""
        best = [float("inf")] * len(settings)
        for _ in range(rounds):
            for i, keys in enumerate(settings):
                best[i] = min(best[i], self.step(shape, steps, **keys)["fastest"])
        return best


def row(what, measured, aim):
    print(f"{what:<66}{measured:>22}   {aim}", flush=True)


def spread(values, unit):
    values = sorted(values)
    return f"{values[0]:.3g} to {values[-1]:.3g}{unit}"


def operations(bench):
    result = bench.run("--ops", "--seconds", "0.2", "--only", "experts", "attention")
    ops = {op["name"]: op for op in result["ops"]}
    print(f"{result['processor']}, {result['instructions']}, {result['threads']} threads; products "
          f"{result['limits']['gemm_bf16'] * 1e-12:.2f} TFLOP/s in bfloat16, "
          f"{result['limits']['gemm_fp32'] * 1e-12:.2f} in float32; memory "
          f"{max(result['limits']['memory_read'], result['limits']['memory_copy']) * 1e-9:.0f} GB/s\n")
    row("", "here", "aim")
    experts = [op for name, op in ops.items() if name.startswith("experts") and "skewed" not in name]
    for direction in ("fwd", "fwd+bwd"):
        shares = [100 * op["share"] for op in experts if op["name"].endswith("/" + direction)]
        row(f"grouped products, {direction}: % of the GEMM or memory rate", spread(shares, " %"),
            ">= 90 %")
    for direction in ("fwd", "fwd+bwd"):
        own = [op for name, op in ops.items()
               if name.startswith("attention") and name.endswith("/" + direction)]
        row(f"attention, {direction}: times LibTorch's speed", spread([op["ratio"] for op in own], ""),
            ">= 4")
        row(f"attention, {direction}: % of the GEMM rate", spread([100 * op["share"] for op in own], " %"),
            ">= 55 %")
    skew = [ops[name]["seconds"] / ops[name.replace("/skewed", "")]["seconds"]
            for name in ops if "/skewed" in name and name.endswith("/fwd+bwd")]
    row("experts, half of the tokens to one of them: times the even time", spread(skew, ""), "<= 1.15")


def steps(bench, rounds, large):
    mini = bench.step("mini", 10)
    row("train mini: % of the GEMM rate", f"{100 * mini['gemm_share']:.0f} %", ">= 65 %")
    row("train mini: tokens/s", f"{mini['tokens_per_second']:,.0f}", "")
    for shape, aim in (("mini", 1.05), ("tiny", 1.10)):
        dense, sparse = bench.fastest(shape, 8, rounds, [
            {"model__moe__num_experts": 0}, {"model__moe__num_experts": 8}])
        row(f"sparse tax at {shape}: step with 8 experts / dense", f"{sparse / dense:.2f}",
            f"<= {aim:.2f}")
    growth = {"train__batch_sequences": 96}
    few, many = bench.fastest("mini", 3, rounds, [
        dict(growth, model__moe__num_experts=8), dict(growth, model__moe__num_experts=128)])
    row("cost growth: step with 128 experts / 8, 30,720 tokens", f"{many / few:.2f}", "<= 1.20")
    if large:
        base = bench.step("base8", 2)
        row("train base8: % of the GEMM rate", f"{100 * base['gemm_share']:.0f} %", ">= 75 %")
        row("train base8: tokens/s", f"{base['tokens_per_second']:,.0f}", "")
        row("train base8: peak memory, Adafactor", f"{base['peak_memory'] * 1e-9:.1f} GB", "")


def compare(program, large):
    script = [str(ROOT / "scripts/oracle.sh"), str(ROOT / "tools/compare_hf.py"), "--program", program]
    print("\nAgainst Hugging Face; aims at mini: 3 times eager, 2.3 compiled, 5 float32; at base8: 2.2")
    runs = [["--shape", "mini", "--modes", "eager", "compile", "fp32", "--rounds", "3", "--steps", "5"]]
    if large:
        runs.append(["--shape", "base8", "--modes", "eager", "--rounds", "2", "--steps", "2", "--alone"])
    for words in runs:
        print(flush=True)
        subprocess.run(script + words, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="base8 too")
    parser.add_argument("--compare", action="store_true", help="Hugging Face beside it")
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/switchyard"))
    options = parser.parse_args()
    bench = Bench(options.program)
    operations(bench)
    steps(bench, options.rounds, options.large)
    if options.compare:
        compare(options.program, options.large)


if __name__ == "__main__":
    main()
