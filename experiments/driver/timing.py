"""What a step of each model takes, measured side by side: one after the other and in turn, nothing else
running, so that trainings may run while the machine does other work."""
import dataclasses
import json
import shutil
import statistics

from driver.program import note
from driver.trainings import lines_of

TIMED = {"milliseconds_per_step", "speed_up_time"}


@dataclasses.dataclass
class Plan:
    steps: int = 60
    mark: int = 10  # steps between two looks at the clock; the first ones do not count
    rounds: int = 3


SMOKE = Plan(steps=4, mark=2, rounds=1)


def needed(experiment):
    """Whether a table or a figure tells times."""
    values = {value for spec in experiment.get("tables", []) for value in spec.get("values", [spec.get("value")])}
    return bool(values & TIMED) or any(spec.get("x") == "minutes" for spec in experiment.get("figures", []))


def settings_of(training, plan):
    """Of a training that only times: no evaluation, no checkpoint, few steps."""
    return training.settings | {"train.steps": plan.steps, "train.evaluate_every": 0,
                                "train.log_every": plan.mark, "data.validation": '""'}


def time_once(program, work, training, threads, plan):
    """Milliseconds of a step."""
    folder = work / "timing"
    shutil.rmtree(folder, ignore_errors=True)
    words = ["train", "--recipe", training.recipe, "--run-dir", folder, "--json", "--threads", threads]
    for key, value in settings_of(training, plan).items():
        words += ["--set", f"{key}={value}"]
    program.run(words, work / "timing.log")
    marks = [(line["step"], line["seconds"]) for line in lines_of(folder / "metrics.jsonl", "train")]
    shutil.rmtree(folder)
    steps = [1000 * (seconds - before) / (step - last) for (last, before), (step, seconds) in zip(marks, marks[1:])]
    return statistics.median(steps)


def add_times(experiment, program, work, threads, trainings, results, path, plan=Plan()):
    """Adds `milliseconds_per_step` to results: the median over rounds, of the first seed of each kind of
    model for all its seeds. Kept at `path` for as long as the kinds are the same."""
    if not needed(experiment):
        return
    kinds = {}
    for training in trainings:
        if not training.upcycle and not training.needs:
            kinds.setdefault(training.name.rsplit("-seed-", 1)[0], training)
    wanted = {name: training.folder for name, training in kinds.items()}
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("of") != wanted:
        rounds = {name: [] for name in kinds}
        for turn in range(plan.rounds):
            note(f"timing {len(kinds)} models, round {turn + 1} of {plan.rounds}")
            for name, training in kinds.items():
                rounds[name].append(round(time_once(program, work, training, threads, plan), 3))
        known = {"of": wanted, "rounds": rounds}
        path.write_text(json.dumps(known))
    for result in results:
        times = known["rounds"].get(result["name"].rsplit("-seed-", 1)[0])
        if times:
            result["milliseconds_per_step"] = statistics.median(times)
            result["timing_rounds"] = times
