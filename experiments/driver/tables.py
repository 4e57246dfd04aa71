"""Tables with means and spreads over seeds, in Markdown."""
import json
import math

from driver.matrix import fill
from driver.program import Stop

HEADINGS = {
    "nlp": "held-out NLP", "start_nlp": "NLP at the start", "gain": "gain, nats", "best": "best",
    "final": "final", "minutes": "minutes", "milliseconds_per_step": "ms a step",
    "dropped_percent": "dropped, %", "final_dropped_percent": "dropped at the end, %",
    "busiest_expert_percent": "load of the busiest expert, %", "idle_experts": "idle experts a layer",
    "parameters": "parameters, 10^6", "gflops": "GFLOP a sequence",
    "speed_up_steps": "× fewer steps", "speed_up_time": "× less time", "kept_percent": "share of the gain, %",
}
DIGITS = {"nlp": 3, "start_nlp": 4, "gain": 3, "best": 2, "final": 2, "minutes": 1,
          "milliseconds_per_step": 0, "dropped_percent": 1, "final_dropped_percent": 1,
          "busiest_expert_percent": 0, "idle_experts": 1, "parameters": 2, "gflops": 4,
          "speed_up_steps": 2, "speed_up_time": 2, "kept_percent": 0}


def mean_and_spread(values):
    """Mean and sample standard deviation, None where there is one value only."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def cell(values, digits):
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    if any(not math.isfinite(value) for value in known):
        return "not finite"
    mean, spread = mean_and_spread(known)
    text = f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread and spread > 1e-9 * abs(mean) else "")
    return text + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")


def row_of(spec, result):
    """Its row: {label} is the name of a run without the seed."""
    label = result["name"].rsplit("-seed-", 1)[0]
    return fill(spec["rows"], {"label": label} | result["variables"])


def rows_of(spec, results):
    """Results by row, in the order in which rows first come."""
    rows = {}
    for result in results:
        if result["family"] in spec["runs"] and row_of(spec, result) in spec.get("only", [row_of(spec, result)]):
            rows.setdefault(row_of(spec, result), []).append(result)
    return rows


def of_same_seed(results, seed):
    found = [r for r in results if r["variables"]["seed"] == seed]
    return found[0] if found else None


def value_of(value, result, rows, spec):
    """A number of a run; those that compare it do so with the run of the same seed of another row."""
    if value == "parameters":
        return result["parameters"] / 1e6
    if value == "gflops":
        return result["forward_flops_per_sequence"] / 1e9
    if value in result:
        return result[value]
    if value in ("speed_up_time", "milliseconds_per_step"):
        return None  # not timed
    if value != "gain":
        raise Stop(f"no run has a number {value}", "see [[tables]] of experiment.toml")
    base = of_same_seed(rows[spec["baseline"]], result["variables"]["seed"])
    return result["nlp"] - base["nlp"] if base else None


def kept_percent(members, rows, spec):
    """Share of the gain of row `best` over row `baseline`, of the means over seeds."""
    low, high, own = (mean_and_spread([r["nlp"] for r in row])[0]
                      for row in (rows[spec["baseline"]], rows[spec["best"]], members))
    return 100 * (own - low) / (high - low) if high > low else None


def add_speed_ups(program, work, spec, results):
    """How many times fewer steps each run needs to be as good as the baseline's best, as `report` finds it,
    seed by seed; and less time, by what a step of either takes."""
    if not {"speed_up_steps", "speed_up_time"} & set(spec.get("values", [])):
        return
    rows = rows_of(spec, results)
    for seed in sorted({result["variables"]["seed"] for result in results}):
        members = [r for row in rows.values() for r in row if r["variables"]["seed"] == seed]
        base = of_same_seed(rows[spec["baseline"]], seed)
        if base is None:
            continue
        answer = program.run(["report", *[r["folder"] for r in members], "--baseline", base["folder"],
                              "--output", "speed-ups.html", "--json"], work / "report.log")
        for result, numbers in zip(members, json.loads(answer)["runs"]):
            steps = result["speed_up_steps"] = numbers["speed_up"]["steps"]
            times = [base.get("milliseconds_per_step"), result.get("milliseconds_per_step")]
            result["speed_up_time"] = steps * times[0] / times[1] if steps and all(times) else None


def make_table(spec, results):
    """Columns are values, or one value by a variable."""
    rows = rows_of(spec, results)
    by_variable = "columns" in spec
    columns = []
    if by_variable:
        for result in results:
            if result["family"] in spec["runs"]:
                name = fill(spec["columns"], result["variables"])
                columns += [name] if name not in columns else []
    else:
        columns = spec["values"]
    heading = columns if by_variable else [HEADINGS[value] for value in columns]
    lines = ["| " + " | ".join([spec.get("name", ""), *heading]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, members in rows.items():
        words = [name]
        for column in columns:
            value = spec["value"] if by_variable else column
            chosen = [r for r in members if not by_variable or fill(spec["columns"], r["variables"]) == column]
            values = ([kept_percent(members, rows, spec)] if value == "kept_percent" else
                      [value_of(value, r, rows, spec) for r in chosen])
            words.append(cell(values, spec.get("digits", DIGITS.get(value, 3))) if chosen else "")
        lines.append("| " + " | ".join(words) + " |")
    return lines


def slope(points):
    """Of a straight line through (x, y), by least squares."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points))
    return (sum((x - mean_x) * (y - mean_y) for x, y in points)
            / sum((x - mean_x) ** 2 for x, _ in points))


def slope_line(spec, results):
    """What a doubling of the variable `slope` brings, fitted seed by seed."""
    variable, by_seed = spec["slope"], {}
    for result in results:
        value = result["variables"].get(variable, 0)
        if result["family"] in spec["runs"] and value > 0:
            by_seed.setdefault(result["variables"]["seed"], []).append((math.log2(value), result["nlp"]))
    slopes = [slope(points) for points in by_seed.values() if len(points) > 1]
    if not slopes:
        return []
    largest = max(2 ** x for points in by_seed.values() for x, _ in points)
    return [f"A doubling of {variable}, from 1 to {largest:.0f}, adds {cell(slopes, 4)} nats "
            "(least squares on the logarithm, seed by seed).", ""]


def languages_table(report):
    """Of `report --json`: each language's gain over the dense model, and what all gain together."""
    lines = []
    for group in report["languages"]:
        lines += [f"{group['group']} against {group['baseline']}:", "",
                  "| language | NLP, dense | NLP | gain, nats | × fewer steps |", "|---|---|---|---|---|"]
        for language in group["languages"]:
            steps = language["speed_up_steps"]
            lines.append(f"| {language['name']} | {language['baseline_nlp']:.3f} | {language['nlp']:.3f} | "
                         f"{language['gain']:+.3f} | {'–' if steps is None else format(steps, '.2f')} |")
        gains = [language["gain"] for language in group["languages"]]
        steps = group["mean_speed_up_steps"]
        lines += ["", f"{group['gained']} of {len(gains)} languages gain, {sum(gains) / len(gains):+.3f} nats on "
                  f"average; {group['reached']} reach the dense model's best with every seed, "
                  f"{group['reached_by_some_seed']} with some, those that do in "
                  f"{'–' if steps is None else format(steps, '.2f')} times fewer steps on average.", ""]
    return lines
