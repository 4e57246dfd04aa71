#!/usr/bin/env python3
"""Runs an experiment: every training of a matrix, then tables and figures with means and spreads over seeds.

Usage: experiments/run.py NAME [--work DIR] [--data DIR] [--program P] [--threads N] [--parallel N]
                               [--publish] [--smoke]

NAME names experiments/NAME/experiment.toml:
  chapter, title, question  what the page is about
  include                   a file with tables that this one lacks, as [data]; its [common] has the recipe and the
                            settings of all runs that name no recipe of their own
  seeds                     of all runs that do not name their own
  [data]                    inputs, validation (file patterns below --data), vocab_size, tokenizer (more words
                            for `tokenizer train`), each (one prepared folder a file): text to pre-train on, made
                            once; {training}, {held_out} and {tokenizer} in what follows
  [[runs]]                  name, recipe (beside the file), for = {variable = [values]}, seeds,
                            set = {"section.key" = value}: one training for every combination.
                            {variable}, {seed} and {shared} (--data) are filled in, [run:NAME-seed-1] is the
                            folder of a run above; a value that is a table is looked up by the variable that
                            its key `by` names. upcycle = {option = value}: it starts from what `upcycle` makes
  [[tables]]                title, runs (names as above, unfilled), rows (pattern of variables), and values
                            (nlp, start_nlp, best, final, milliseconds_per_step, ..., and compared with row `baseline` of the
                            same seed: gain, speed_up_steps, speed_up_time, and with row `best`: kept_percent),
                            or columns (pattern) and value; slope = VARIABLE fits what its doubling adds to NLP
  [[figures]]               title, file, kind (curves, points), runs, rows, only (some of the rows), x, y
  [[plans]]                 name, recipe (of recipes/), mesh, set, published: in place of trainings, what `plan` says
  [page]                    runs, baseline: what `switchyard report` makes report.html of; languages = true
                            adds its table of languages
  [smoke]                   set: what --smoke changes in all runs, to try everything in a minute

Trainings that are finished are not done again, also if they belong to another experiment; one that was cut off
goes on. Where a page tells times, a few steps of each model are timed at the end, one after the other and in turn:
the machine should do nothing else then. Results are written to DIR/NAME/ with commit, machine and seeds: results.json (with all settings),
results.md and figures. --publish puts them into docs/results/NAME/ too. Figures need matplotlib
(scripts/results.sh brings it); without it they are left out. Needs Python 3.11 and the built program. With
--smoke everything is done anew.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from driver.figures import draw  # noqa: E402
from driver.matrix import expand, read  # noqa: E402
from driver.plans import MACHINE, plans_table, run_plans  # noqa: E402
from driver.program import ROOT, Program, Stop, note  # noqa: E402
from driver.tables import add_speed_ups, languages_table, make_table, slope_line  # noqa: E402
from driver.texts import link_shared, prepare  # noqa: E402
from driver.timing import SMOKE, Plan, add_times  # noqa: E402
from driver.trainings import Trainer  # noqa: E402

SKIPPED = 77  # exit status that CTest takes for "not run"


def read_arguments():
    parser = argparse.ArgumentParser(description="Run an experiment and make its page.")
    parser.add_argument("name", help="folder below experiments/")
    parser.add_argument("--work", default="runs/experiments", help="where everything goes")
    parser.add_argument("--data", default="../shared/data", help="folder of texts and tasks")
    parser.add_argument("--program", default="build/release/bin/switchyard")
    parser.add_argument("--threads", type=int, default=1, help="of a training")
    parser.add_argument("--parallel", type=int, default=0, help="trainings at once; 0: as many as cores allow")
    parser.add_argument("--publish", action="store_true", help="put results into docs/results/NAME/ too")
    parser.add_argument("--smoke", action="store_true", help="a few steps of each run")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    arguments.parallel = arguments.parallel or max(1, cores // max(1, arguments.threads))
    arguments.home = ROOT / "experiments" / arguments.name
    if not (arguments.home / "experiment.toml").exists():
        names = sorted(path.parent.name for path in ROOT.glob("experiments/*/experiment.toml"))
        raise Stop(f"no experiment {arguments.name}", "there is " + ", ".join(names))
    for key, hint in (("program", "build it with `make build`"), ("data", "give another with --data")):
        path = (ROOT / getattr(arguments, key)).resolve()
        if not path.exists() and arguments.smoke and key == "data":
            print(f"skipped: no {path}")
            sys.exit(SKIPPED)
        if not path.exists():
            raise Stop(f"no {path}", hint)
        setattr(arguments, key, path)
    arguments.work = (ROOT / arguments.work).resolve()
    if arguments.smoke:
        arguments.publish = False
        arguments.work = arguments.work / (arguments.name + "-smoke")
        shutil.rmtree(arguments.work, ignore_errors=True)
    return arguments


def make_page(experiment, arguments, program, results):
    """-> what `report --json` says of the runs of [page]."""
    spec = experiment.get("page")
    if not spec:
        return {}
    chosen = [result for result in results if result["family"] in spec["runs"]]
    words = ["report", *[result["folder"] for result in chosen], "--json"]
    words += ["--output", arguments.name + "/report.html"]
    base = [result["folder"] for result in chosen if result["name"].startswith(spec["baseline"] + "-seed-")]
    if not base:
        raise Stop(f"no run is named {spec['baseline']}", "see [page] of experiment.toml")
    return json.loads(program.run(words + ["--baseline", base[0]], arguments.work / "report.log"))


def make_figures(experiment, results, folder):
    """Lines of Markdown that show them."""
    specs = experiment.get("figures", [])
    if specs and importlib.util.find_spec("matplotlib") is None:
        note("no matplotlib: no figures (scripts/results.sh brings it)")
        specs = []
    for old in folder.glob("*.svg"):
        old.unlink()
    for spec in specs:
        draw(spec, results, folder / spec["file"])
    return [line for spec in specs for line in (f"![{spec['title']}]({spec['file']})", "")]


def described(arguments, results):
    def all_of(get):
        return ", ".join(sorted({str(get(result)) for result in results}))

    return (f"`experiments/run.py {arguments.name}` at commit {all_of(lambda r: r['commit'])}; "
            f"{all_of(lambda r: r['machine']['processor'])}, {all_of(lambda r: r.get('parallel', 2))} trainings at "
            f"once with {all_of(lambda r: r['machine']['threads'])} thread each; seeds {all_of(lambda r: r['variables']['seed'])}; {len(results)} trainings, "
            f"{sum(r['minutes'] for r in results):.0f} minutes of training in all. "
            "Numbers are means ± sample standard deviations over seeds."
            + (" Times are those of a step, measured at the end one model after the other, one process at a time."
               if any("timing_rounds" in r for r in results) else ""))


def write_results(experiment, arguments, program, results):
    folder = arguments.work / arguments.name
    report = make_page(experiment, arguments, program, results)
    lines = [f"# {experiment['title']}", "", experiment["question"], "", described(arguments, results), ""]
    for spec in experiment.get("tables", []):
        add_speed_ups(program, arguments.work, spec, results)
        lines += [f"**{spec['title']}**", "", *make_table(spec, results), ""]
        lines += slope_line(spec, results) if "slope" in spec else []
    if experiment.get("page", {}).get("languages"):
        lines += ["**Languages**", "", *languages_table(report)]
    lines += make_figures(experiment, results, folder)
    write_page(arguments, lines, {"languages": report.get("languages", [])}, results)


def write_plans(experiment, arguments, program):
    results = run_plans(program, arguments.work, ROOT, experiment)
    lines = [f"# {experiment['title']}", "", experiment["question"], "",
             f"`experiments/run.py {arguments.name}` at commit {program.commit}; `plan --machine {MACHINE}`.", "",
             *plans_table(results), ""]
    write_page(arguments, lines, {}, results)


def write_page(arguments, lines, more, results):
    """results.md and results.json, in docs/results/ too with --publish."""
    folder = arguments.work / arguments.name
    verdict = arguments.home / "verdict.md"
    if verdict.exists() and not arguments.smoke:
        lines += [verdict.read_text()]
    (folder / "results.md").write_text("\n".join(lines).rstrip() + "\n")
    rows = ",\n".join(json.dumps(result) for result in results)
    head = json.dumps({"experiment": arguments.name, "smoke": arguments.smoke} | more)[:-1]
    (folder / "results.json").write_text(f'{head}, "runs": [\n{rows}\n]}}\n')
    print("\n".join(lines))
    if arguments.publish:
        target = ROOT / "docs" / "results" / arguments.name
        target.mkdir(parents=True, exist_ok=True)
        for path in [folder / "results.json", folder / "results.md", *folder.glob("*.svg")]:
            shutil.copy(path, target / path.name)


def main():
    arguments = read_arguments()
    experiment = read(arguments.home)
    (arguments.work / arguments.name).mkdir(parents=True, exist_ok=True)
    program = Program(arguments.program, arguments.work)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        if "plans" in experiment:
            write_plans(experiment, arguments, program)
            return
        link_shared(arguments.work, arguments.data)
        places = prepare(program, arguments.work, arguments.data, experiment["data"], arguments.smoke)
        trainings = expand(experiment, arguments.home, places | {"shared": "shared"}, arguments.smoke)
        trainer = Trainer(program, arguments.work, arguments.threads, arguments.parallel)
        results = trainer.train_all(trainings)
        add_times(experiment, program, arguments.work, arguments.threads, trainings, results,
                  arguments.work / arguments.name / "timing.json", SMOKE if arguments.smoke else Plan())
        write_results(experiment, arguments, program, results)
    except KeyboardInterrupt:
        program.end()
        raise Stop("stopped", "run the same command to go on") from None


if __name__ == "__main__":
    try:
        main()
    except Stop as stop:
        print(f"experiments: error: {stop}", file=sys.stderr)
        sys.exit(2)
