#!/usr/bin/env python3
"""Checks live that `switchyard task score` gives the numbers of sacrebleu, rouge-score, scikit-learn and
scipy on random texts: made-up characters of several scripts, and lines of the languages in
../shared/data/multilingual where that is present.

Usage: check_metrics.py PROGRAM [CASES]     `make test-oracle` calls this. Exits 1 if anything differs.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import metric_cases

TOLERANCE = 1e-6


def multilingual_lines():
    """A few hundred lines of all languages; none where the data or zstd is absent."""
    folder = pathlib.Path(__file__).resolve().parent.parent / "../shared/data/multilingual"
    lines = []
    for path in sorted(folder.glob("*.validation.jsonl.zst")):
        text = subprocess.run(f"zstd -dc '{path}' | head -n 5", shell=True, capture_output=True).stdout
        for row in filter(None, text.decode().split("\n")):
            parts = [p for p in json.loads(row)["text"].split("\n") if p.strip()]
            lines += [p[:300] for p in parts[:4]]
    return lines


def scores_of(program, case, metrics, folder):
    """By `task score`; a task file of three classes gives the labels."""
    lines = [{"references": r, "output": p} for r, p in zip(case["references"], case["predictions"])]
    path = pathlib.Path(folder) / "lines.jsonl"
    command = [program, "task", "score", "--json", "--input", str(path)]
    if case["labels"]:
        task = pathlib.Path(folder) / "classes.toml"
        names = "".join(f'{i} = "{name}"\n' for i, name in enumerate(case["labels"]))
        task.write_text('[fields]\nx = "references | first"\n[text]\ninput = "-"\ntarget = "{x}"\n[labels]\n' + names)
        command += ["--task", str(task), "--predictions", str(path)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for metric in metrics:
        command += ["--metric", metric]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr}")
    return json.loads(done.stdout)["metrics"]


def main():
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100
    texts = multilingual_lines()
    seed = random.randrange(1 << 30)
    failures = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in metric_cases.random_cases(count, seed, texts):
            expected = metric_cases.expected_scores(case)
            found = scores_of(program, case, list(expected), folder)
            for metric, numbers in expected.items():
                for name, value in numbers.items():
                    compared += 1
                    if abs(found[metric][name] - value) > TOLERANCE:
                        failures += 1
                        print(f"{case['name']}: {metric} {name} is {found[metric][name]}, not {value}")
                        print(json.dumps(case, ensure_ascii=False)[:2000])
    source = f"and {len(texts)} lines of text" if texts else "alone (no ../shared/data/multilingual)"
    print(f"metrics: {compared} numbers compared on made-up texts {source}, seed {seed}: {failures} differ")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
