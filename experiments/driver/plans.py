"""Plans of models that no small machine can train, beside what is published of them."""
import json


MACHINE = "tpu_v3_core"  # the paper's


def run_plans(program, work, root, experiment):
    """What `plan --json` says of each of [[plans]], in short."""
    results = []
    for spec in experiment["plans"]:
        words = ["plan", "--recipe", root / "recipes" / (spec["recipe"] + ".toml"), "--machine", MACHINE,
                 "--mesh", spec["mesh"], "--json"]
        for key, value in spec.get("set", {}).items():
            words += ["--set", f"{key}={value}"]
        plan = json.loads(program.run(words, work / "plan.log"))
        sequences = plan["tokens_per_second"] * plan["step_seconds"] / experiment["tokens"]
        results.append({
            "name": spec["name"], "recipe": spec["recipe"], "mesh": spec["mesh"],
            "set": spec.get("set", {}), "commit": program.commit,
            "parameters": plan["parameters"], "sequence_flops": plan["sequence_flops"],
            "memory": plan["peak_memory"],
            "traffic": sum(t["bytes_within_host"] + t["bytes_between_hosts"] for t in plan["traffic"]),
            "step_seconds": plan["step_seconds"], "examples_per_second": sequences / plan["step_seconds"],
            "published": spec.get("published", {})})
    return results


def relative(speed, base):
    return f"{speed / base:.2f}" if speed and base else "–"


def plans_table(results):
    """Speeds are told against the first model's, where one for the same number of cores is published."""
    heading = ["model", "parameters, 10^9", "published", "GFLOP a sequence", "published", "GiB a core",
               "GB sent a core and step", "s a step", "examples/s", "relative speed", "published"]
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    base = results[0]
    for result in results:
        published = result["published"]
        speed = published.get("examples_per_second")
        words = [result["name"], f"{result['parameters'] / 1e9:.4g}", published.get("parameters", "–"),
                 f"{result['sequence_flops'] / 1e9:.0f}", published.get("flops", "–"),
                 f"{result['memory'] / 2**30:.1f}", f"{result['traffic'] / 1e9:.2f}",
                 f"{result['step_seconds']:.2f}", f"{result['examples_per_second']:.0f}",
                 relative(speed and result["examples_per_second"], base["examples_per_second"]),
                 relative(speed, base["published"]["examples_per_second"])]
        lines.append("| " + " | ".join(words) + " |")
    return lines
