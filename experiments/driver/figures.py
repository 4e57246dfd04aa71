"""Figures as SVG, one colour a row, each seed as a thin line or a point and the mean over it."""
import collections
import itertools

from driver.tables import mean_and_spread, row_of, rows_of

AXES = {"steps": "steps", "minutes": "minutes of training", "nlp": "held-out NLP, nats per target",
        "gain": "gain over dense, nats per target"}
COLOURS = ["#3b6fb6", "#d1622b", "#3f8f5f", "#8a5aa8", "#b8862b", "#4aa3a8", "#b04a6f", "#6b6b6b"]


def start(spec):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "switchyard", "svg.fonttype": "none", "font.size": 10,
                            "font.family": "sans-serif", "axes.spines.top": False,
                            "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
                            "legend.frameon": False}
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    figure.patch.set_facecolor("white")
    axes.set_title(spec["title"], fontsize=11)
    return figure, axes


def curves(spec, results, axes):
    """NLP against steps, or minutes at what a step takes: held-out, from the tenth part of the run on."""
    by_minutes = spec.get("x", "steps") == "minutes"
    begin = max(r["evaluations"][-1][0] for r in results) * spec.get("from", 0.1)
    for colour, (name, members) in zip(itertools.cycle(COLOURS), rows_of(spec, results).items()):
        points = collections.defaultdict(list)
        for result in members:
            scale = result["milliseconds_per_step"] / 60000 if by_minutes else 1
            line = [(step, step * scale, nlp)
                    for step, _, nlp in result["evaluations"] if nlp is not None and step >= begin]
            if len(members) > 1:
                axes.plot([x for _, x, _ in line], [y for *_, y in line], color=colour, lw=0.7, alpha=0.5)
            for step, x, y in line:
                points[step].append((x, y))
        whole = [step for step in sorted(points) if len(points[step]) == len(members)]
        axes.plot([sum(x for x, _ in points[s]) / len(members) for s in whole],
                  [sum(y for _, y in points[s]) / len(members) for s in whole],
                  color=colour, lw=1.8, label=name)
    axes.set_xlabel(AXES["minutes" if by_minutes else "steps"])
    axes.set_ylabel(AXES["nlp"])
    axes.legend(loc="lower right")


def points(spec, results, axes):
    """A number of each run against a variable, as experts, on a logarithmic axis."""
    values = collections.defaultdict(list)
    base = {r["variables"]["seed"]: r["nlp"] for r in results
            if "baseline" in spec and row_of(spec, r) == spec["baseline"]}
    for result in results:
        if result["family"] not in spec["runs"] or spec["x"] not in result["variables"]:
            continue
        y = result["nlp"] - base[result["variables"]["seed"]] if base else result[spec["y"]]
        values[result["variables"][spec["x"]]].append(y)
    shown = {x: ys for x, ys in values.items() if x > 0}
    xs = sorted(shown)
    for x in xs:
        axes.plot([x] * len(shown[x]), shown[x], "o", color=COLOURS[0], ms=3.5, alpha=0.5)
    axes.plot(xs, [mean_and_spread(shown[x])[0] for x in xs], color=COLOURS[0], lw=1.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(xs, [str(x) for x in xs])
    axes.set_xlabel(spec.get("x_label", spec["x"].replace("_", " ")))
    axes.set_ylabel(AXES["gain"] if base else AXES[spec["y"]])


KINDS = {"curves": curves, "points": points}


def draw(spec, results, path):
    figure, axes = start(spec)
    KINDS[spec["kind"]](spec, results, axes)
    figure.savefig(path, metadata={"Date": None})
