"""From the tables of experiment.toml to the single trainings."""
import dataclasses
import hashlib
import itertools
import json
import pathlib
import re
import tomllib

from driver.program import Stop


@dataclasses.dataclass
class Training:
    name: str        # with the seed, told apart within the experiment
    family: str      # the name as the experiment has it, unfilled
    variables: dict
    recipe: pathlib.Path
    settings: dict   # key -> TOML value; paths relative to the folder of work
    upcycle: dict    # options of `upcycle` that make what it starts from; empty: none
    needs: list      # folders of trainings that must be there before
    folder: str      # below the folder of work; the same for the same training in any experiment

    def described(self):
        return {"recipe_text": self.recipe.read_text(), "settings": self.settings, "upcycle": self.upcycle}


def fill(value, variables):
    """{variable} by its value; a table by the entry that the variable named by its key `by` chooses."""
    if isinstance(value, dict) and "by" in value:
        value = value[str(variables[value["by"]])]
    return value.format(**variables) if isinstance(value, str) else value


def as_toml(value):
    return json.dumps(value) if isinstance(value, (bool, list)) else str(value)


def combinations(run):
    """Of the variables of `for`: each of a list with each of the others."""
    names = list(run.get("for", {}))
    for values in itertools.product(*run.get("for", {}).values()):
        yield dict(zip(names, values))


def folder_of(training):
    text = json.dumps(training.described(), sort_keys=True)
    return f"runs/{training.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read(home):
    """experiment.toml, with the tables of the file that it includes in place of those it lacks."""
    experiment = tomllib.loads((home / "experiment.toml").read_text())
    included = home / experiment["include"] if "include" in experiment else None
    return (tomllib.loads(included.read_text()) if included else {}) | experiment


def expand(experiment, home, places, smoke):
    """All trainings of an experiment, in its order; [run:NAME] is the folder of one named before."""
    trainings, folders = [], {}
    common = experiment.get("common", {})

    def with_runs(value, needs):
        def found(match):
            if match[1] not in folders:
                raise Stop(f"no run {match[1]} before the one that names it", "see experiment.toml")
            needs.append(folders[match[1]])
            return folders[match[1]]

        return re.sub(r"\[run:([^\]]+)\]", found, value) if isinstance(value, str) else value

    for run in experiment["runs"]:
        seeds = run.get("seeds", experiment.get("seeds", [1]))
        for variables in combinations(run):
            for seed in seeds[:1] if smoke else seeds:
                known = variables | {"seed": seed}
                filled = places | known
                needs = []

                def value_of(value):
                    return with_runs(fill(value, filled), needs)

                keys = ({} if "recipe" in run else common["set"]) | run.get("set", {})
                settings = {fill(key, filled): as_toml(value_of(value)) for key, value in keys.items()}
                settings["train.seed"] = settings.get("train.seed", str(seed))
                if smoke:
                    settings |= {k: as_toml(v) for k, v in experiment["smoke"]["set"].items()}
                training = Training(
                    name=f"{fill(run['name'], filled)}-seed-{seed}", family=run["name"],
                    variables=known, recipe=home / run.get("recipe", common.get("recipe", "")),
                    settings={key: value for key, value in settings.items() if value != ""},
                    upcycle={key: as_toml(value_of(value))
                             for key, value in run.get("upcycle", {}).items()},
                    needs=needs, folder="")
                if training.name in folders:
                    raise Stop(f"two runs are named {training.name}", "see experiment.toml")
                training.folder = folders[training.name] = folder_of(training)
                trainings.append(training)
    return trainings
