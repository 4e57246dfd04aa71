#!/usr/bin/env python3
"""Runs an experiment: every training of a matrix, then a table with means and spread over seeds.

Usage: experiments/run.py NAME [--work DIR] [--data DIR] [--program P] [--threads N] [--smoke]

NAME names experiments/NAME/experiment.toml:
  title, question           what the tables are about
  [data]                    inputs, validation (below --data), vocab_size: text to pre-train on, prepared
                            once; {training}, {held_out} and {tokenizer} in what follows
  [[runs]]                  name, recipe (beside the file), for = {variable = [values]}, seeds,
                            set = {"section.key" = value}: one training for every combination.
                            {variable}, {seed}, {runs} (the folder of all runs) and {shared} (--data)
                            are filled in; a value that is a table is looked up by the variable that
                            its key `by` names. Runs come in the order of the file.
  [[tables]]                title, runs (names as above, unfilled), rows, columns (patterns of
                            variables), value (nlp, best, final, minutes), from and to (rows between
                            which the share of the gain is told)
  [smoke]                   set: what --smoke changes in all runs, to try everything in a minute

A run that is finished is not done again, one that was cut off goes on. Results are written to
DIR/NAME/results.json and DIR/NAME/results.md with commit, machine and seeds, the former with all settings. Needs nothing
but Python 3.11 and the built program. With --smoke everything is done anew.
"""
import argparse
import itertools
import json
import math
import pathlib
import shutil
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = 77  # exit status that CTest takes for "not run"


def fail(what, hint):
    print(f"experiments: error: {what}; {hint}", file=sys.stderr)
    sys.exit(2)


def read_arguments():
    parser = argparse.ArgumentParser(description="Run an experiment and make its tables.")
    parser.add_argument("name", help="folder below experiments/")
    parser.add_argument("--work", default="runs/experiments", help="where everything goes")
    parser.add_argument("--data", default="../shared/data", help="folder of texts and tasks")
    parser.add_argument("--program", default="build/release/bin/switchyard")
    parser.add_argument("--threads", type=int, default=0, help="of a run; 0: all cores")
    parser.add_argument("--smoke", action="store_true", help="a few steps of each run")
    arguments = parser.parse_args()
    arguments.folder = ROOT / "experiments" / arguments.name
    if not (arguments.folder / "experiment.toml").exists():
        names = sorted(path.parent.name for path in ROOT.glob("experiments/*/experiment.toml"))
        fail(f"no experiment {arguments.name}", "there is " + ", ".join(names))
    for key, hint in (("program", "build it with `make build`"), ("data", "give another with --data")):
        path = (ROOT / getattr(arguments, key)).resolve()
        if not path.exists() and arguments.smoke and key == "data":
            print(f"skipped: no {path}")
            sys.exit(SKIPPED)
        if not path.exists():
            fail(f"no {path}", hint)
        setattr(arguments, key, path)
    arguments.work = (ROOT / arguments.work / arguments.name).resolve()
    if arguments.smoke:
        arguments.work = arguments.work.with_name(arguments.name + "-smoke")
        shutil.rmtree(arguments.work, ignore_errors=True)
    return arguments


def run_program(arguments, words, log):
    """The last line of what the program prints, which is JSON where --json is among the words."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(arguments.program), *map(str, words)]
    with log.open("a") as errors:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    if done.returncode != 0:
        last = log.read_text().strip().splitlines()[-1:]
        fail(f"`{' '.join(command[:2])}` ended with {done.returncode}: {''.join(last)}", f"see {log}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def prepare(arguments, data):
    """Tokenizer and prepared text of [data]; -> what they are called in settings."""
    folder = arguments.work / "data"
    tokenizer = folder / "spiece.model"
    log = folder / "log.txt"

    def files(key):
        return [arguments.data / name for name in data["validation" if arguments.smoke else key]]

    if not tokenizer.exists():
        print("tokenizer ...", flush=True)
        run_program(arguments, ["tokenizer", "train", "--input", *files("inputs"), "--vocab-size",
                                data["vocab_size"], "--output", tokenizer], log)
    for part, key in (("training", "inputs"), ("held-out", "validation")):
        if (folder / part / "train" / "dataset.json").exists():
            continue
        print(f"preparing {part} ...", flush=True)
        run_program(arguments, ["prepare", "--input", *files(key), "--tokenizer", tokenizer,
                                "--output", folder / part, "--validation-share", 0], log)
    return {"tokenizer": tokenizer, "training": folder / "training" / "train",
            "held_out": folder / "held-out" / "train"}


def fill(value, variables):
    if isinstance(value, dict):
        value = value[str(variables[value["by"]])]
    return value.format(**variables) if isinstance(value, str) else value


def as_toml(value):
    return json.dumps(value) if isinstance(value, bool) else str(value)


def expand(experiment, places, smoke):
    """All trainings as dicts: name, family (its unfilled name), variables, recipe, settings."""
    trainings = []
    for run in experiment["runs"]:
        names = list(run.get("for", {}))
        seeds = run.get("seeds", experiment.get("seeds", [1]))
        for values in itertools.product(*run.get("for", {}).values()):
            for seed in seeds[:1] if smoke else seeds:
                variables = dict(zip(names, values)) | {"seed": seed}
                filled = places | variables
                settings = {fill(key, filled): fill(value, filled)
                            for key, value in run.get("set", {}).items()}
                settings["train.seed"] = seed
                if smoke:
                    settings |= experiment.get("smoke", {}).get("set", {})
                trainings.append({"name": fill(run["name"], filled) + f"-seed-{seed}",
                                  "family": run["name"], "variables": variables,
                                  "recipe": run["recipe"],
                                  "settings": {k: v for k, v in settings.items() if v != ""}})
    return trainings


def lines_of(path, kind):
    with path.open() as lines:
        return [line for line in map(json.loads, lines) if line["kind"] == kind]


def number(value):
    """Of metrics.jsonl, where null stands for what is not finite."""
    return math.nan if value is None else value


def train(arguments, training):
    """Trains, or takes the result of a finished run. -> the training with its result."""
    folder = arguments.work / "runs" / training["name"]
    result_path = folder.with_name(folder.name + ".json")
    described = {"settings": {key: as_toml(value) for key, value in training["settings"].items()},
                 "recipe_text": (arguments.folder / training["recipe"]).read_text()}
    if result_path.exists():
        result = json.loads(result_path.read_text())
        if {key: result["described"][key] for key in described} != described:
            fail(f"{training['name']} was run with other settings", f"remove {folder}* to run it again")
        return result
    words = ["train", "--recipe", arguments.folder / training["recipe"], "--run-dir", folder, "--json"]
    if arguments.threads:
        words += ["--threads", arguments.threads]
    for key, value in training["settings"].items():
        words += ["--set", f"{key}={as_toml(value)}"]
    start = time.monotonic()
    print(f"{training['name']} ...", end=" ", flush=True)
    run_program(arguments, words, folder.with_name(folder.name + ".log"))
    evaluations = lines_of(folder / "metrics.jsonl", "eval")
    information = json.loads((folder / "run.json").read_text())
    if not evaluations:
        fail(f"{training['name']} was never evaluated", "give it held-out data or a task's validation")
    last = evaluations[-1]
    qualities = [number(line.get("quality", line["nlp"])) for line in evaluations]
    result = training | {
        "described": described | {"commit": commit()},
        "nlp": number(last["nlp"]),
        "final": qualities[-1],
        "best": max((q for q in qualities if math.isfinite(q)), default=math.nan),
        "minutes": last["seconds"] / 60,
        "tokens": last["tokens"],
        "parameters": information["parameters"],
        "forward_flops_per_sequence": information["forward_flops_per_sequence"],
        "machine": information["machine"] | {"threads": information["threads"]},
        "evaluations": [{"step": line["step"], "nlp": line["nlp"], "tasks": line.get("tasks", {})}
                        for line in evaluations],
    }
    print(f"NLP {result['nlp']:.4f}, best {result['best']:.3f}, {time.monotonic() - start:.0f} s",
          flush=True)
    partial = result_path.with_suffix(".tmp")
    partial.write_text(json.dumps(result, indent=1))
    partial.rename(result_path)
    return result


def mean_and_spread(values):
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def cell(values, digits):
    if not values:
        return ""
    if any(not math.isfinite(value) for value in values):
        return "diverged"
    mean, spread = mean_and_spread(values)
    return f"{mean:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")


def make_table(spec, results):
    """Lines of Markdown, values of all seeds by row and column."""
    chosen = [r for r in results if r["family"] in spec["runs"]]
    cells, rows, columns = {}, [], []
    for result in chosen:
        known = {"family": result["family"]} | result["variables"]
        row = fill(spec["rows"], known)
        column = fill(spec.get("columns", spec["value"]), known)
        rows += [row] if row not in rows else []
        columns += [column] if column not in columns else []
        cells.setdefault((row, column), []).append(result[spec["value"]])
    digits = spec.get("digits", 2)
    share = spec.get("from"), spec.get("to")
    header = [spec.get("name", "")] + columns + (["share of the gain, %"] if all(share) else [])
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in rows:
        words = [row] + [cell(cells.get((row, column), []), digits) for column in columns]
        if all(share):
            low, high, own = (mean_and_spread(cells.get((name, columns[0]), [math.nan]))[0]
                              for name in (*share, row))
            gain = high - low
            words.append(f"{100 * (own - low) / gain:.0f}" if gain > 0 else "")
        lines.append("| " + " | ".join(words) + " |")
    return lines


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                          capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main():
    arguments = read_arguments()
    experiment = tomllib.loads((arguments.folder / "experiment.toml").read_text())
    arguments.work.mkdir(parents=True, exist_ok=True)
    places = prepare(arguments, experiment["data"])
    places |= {"runs": arguments.work / "runs", "shared": arguments.data}
    trainings = expand(experiment, places, arguments.smoke)
    results = []
    for number, training in enumerate(trainings, 1):
        print(f"[{number}/{len(trainings)}] ", end="", flush=True)
        results.append(train(arguments, training))
    commits = sorted({result["described"]["commit"] for result in results})
    report = {"experiment": arguments.name, "commits": commits,
              "machine": results[-1]["machine"], "smoke": arguments.smoke, "runs": results}
    (arguments.work / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    lines = [f"# {experiment['title']}", "", experiment["question"], ""]
    machine = results[-1]["machine"]
    seeds = sorted({r["variables"]["seed"] for r in results})
    lines += [f"`experiments/run.py {arguments.name}` at commit {', '.join(commits)}; "
              f"{machine.get('processor', 'unknown processor')}, {machine['threads']} threads; "
              f"seeds {', '.join(map(str, seeds))}; mean ± standard deviation over seeds.", ""]
    for spec in experiment["tables"]:
        lines += [f"**{spec['title']}**", "", *make_table(spec, results), ""]
    (arguments.work / "results.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
