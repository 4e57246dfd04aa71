"""Does the trainings of an experiment, several at once, each when what it needs is there."""
import concurrent.futures
import json
import math
import platform
import time

from driver.program import Failed, Stop, note


def lines_of(path, kind):
    with path.open() as lines:
        return [line for line in map(json.loads, lines) if line["kind"] == kind]


def number(value):
    """Of metrics.jsonl, where null stands for what is not finite."""
    return math.nan if value is None else value


def percent(values):
    return 100 * sum(values) / len(values) if values else 0.0


def routing_numbers(lines):
    """How tokens were spread, of the lines of training: over the run, and in its last tenth."""
    dropped = [line["dropped_share"] for line in lines if line.get("dropped_share") is not None]
    layers = [layer["load"] for line in lines[-max(1, len(lines) // 10):] for layer in line.get("layers", [])]
    idle = [sum(share < 0.1 / len(load) for share in load) for load in layers]
    return {"dropped_percent": percent(dropped),
            "final_dropped_percent": percent(dropped[-max(1, len(dropped) // 10):]),
            "busiest_expert_percent": percent([max(load) for load in layers]),
            "idle_experts": sum(idle) / len(idle) if idle else 0.0}


class Trainer:
    def __init__(self, program, work, threads, parallel):
        self.program, self.work, self.threads, self.parallel = program, work, threads, parallel

    def result(self, training):
        """Of a training that is finished; None of another."""
        path = self.work / (training.folder + ".json")
        return self.read(training) | json.loads(path.read_text()) if path.exists() else None

    def train(self, training):
        folder = self.work / training.folder
        log = folder.with_name(folder.name + ".log")
        words = ["train", "--recipe", training.recipe, "--run-dir", folder, "--json",
                 "--threads", self.threads]
        for key, value in (training.settings | self.start_of(training, log)).items():
            words += ["--set", f"{key}={value}"]
        start = time.monotonic()
        self.program.run(words, log)
        how = {"commit": self.program.commit, "parallel": self.parallel}
        result = self.read(training) | how
        note(f"{training.name}: NLP {result['nlp']:.4f}, best {result['best']:.4f}, "
             f"{time.monotonic() - start:.0f} s")
        partial = folder.with_name(folder.name + ".tmp")
        partial.write_text(json.dumps(how))
        partial.rename(folder.with_name(folder.name + ".json"))
        return result

    def start_of(self, training, log):
        """The upcycled model that a training starts from, made if it is not there yet."""
        if not training.upcycle:
            return {}
        start = training.folder + ".start"
        if not (self.work / start).exists():
            words = [word for key, value in training.upcycle.items()
                     for word in ("--" + key.replace("_", "-"), value)]
            self.program.run(["upcycle", *words, "--output", start, "--threads", self.threads], log)
        return {"train.start_from": start}

    def read(self, training):
        """The numbers of a run, from the files in its folder."""
        folder = self.work / training.folder
        evaluations = lines_of(folder / "metrics.jsonl", "eval")
        if not evaluations:
            raise Stop(f"{training.name} was never evaluated",
                       "give it held-out data or a task's validation")
        information = json.loads((folder / "run.json").read_text())
        last = evaluations[-1]
        qualities = [number(line.get("quality", line["nlp"])) for line in evaluations]
        return {
            "name": training.name, "family": training.family, "variables": training.variables,
            "recipe": training.recipe.name, "settings": training.settings, "upcycle": training.upcycle,
            "nlp": number(last["nlp"]),
            "best_nlp": max((line["nlp"] for line in evaluations if line["nlp"] is not None),
                            default=math.nan),
            "start_nlp": number(evaluations[0]["nlp"]) if evaluations[0]["step"] == 0 else None,
            "final": qualities[-1],
            "best": max((q for q in qualities if math.isfinite(q)), default=math.nan),
            **routing_numbers(lines_of(folder / "metrics.jsonl", "train")),
            "minutes": last["seconds"] / 60,
            "tokens": last["tokens"],
            "parameters": information["parameters"],
            "forward_flops_per_sequence": information["forward_flops_per_sequence"],
            "machine": {"processor": information["machine"]["processor"] or platform.processor(),
                        "threads": information["threads"]},
            "evaluations": [[line["step"], round(line["seconds"], 2), line["nlp"]]
                            for line in evaluations],
            "tasks": [line["tasks"] for line in evaluations if "tasks" in line],
        }

    def train_all(self, trainings):
        """Results in the order of `trainings`; finished ones are not done again. One that fails does not
        keep the others from being done; then all that failed are told."""
        results = {t.folder: self.result(t) for t in trainings}
        waiting = [t for t in trainings if results[t.folder] is None]
        note(f"{len(trainings)} trainings, {len(trainings) - len(waiting)} of them finished before")
        running, failures = {}, []
        with concurrent.futures.ThreadPoolExecutor(self.parallel) as pool:
            try:
                while waiting or running:
                    for training in list(waiting):
                        ready = all(results.get(need) is not None for need in training.needs)
                        if ready and len(running) < self.parallel:
                            waiting.remove(training)
                            running[pool.submit(self.train, training)] = training
                    if not running:  # what the rest needs has failed
                        break
                    done, _ = concurrent.futures.wait(
                        running, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        training = running.pop(future)
                        try:
                            results[training.folder] = future.result()
                        except Failed as failure:
                            failures.append(f"{training.name}: {failure}")
                            note(failures[-1])
            except BaseException:
                self.program.end()
                raise
        if failures:
            raise Stop(f"{len(failures)} of {len(trainings)} trainings failed, the first: {failures[0]}",
                       "the others are done; run the same command to try these again")
        return [results[t.folder] | {"name": t.name, "family": t.family, "variables": t.variables,
                                     "folder": t.folder} for t in trainings]
