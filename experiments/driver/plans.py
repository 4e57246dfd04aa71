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


def plans_table(results):
    base = results[0]
    published_base = base["published"].get("examples_per_second")
    lines = ["| model | parameters, 10^9 | published | GFLOP a sequence | published | GiB a rank | GB sent a rank and step | "
             "s a step | speed to the first | published |", "|" + "---|" * 10]
    for result in results:
        published = result["published"]
        speed = published.get("examples_per_second")
        words = [result["name"], f"{result['parameters'] / 1e9:.4g}", published.get("parameters", "–"),
                 f"{result['sequence_flops'] / 1e9:.0f}", published.get("flops", "–"),
                 f"{result['memory'] / 2**30:.1f}", f"{result['traffic'] / 1e9:.2f}",
                 f"{result['step_seconds']:.2f}", f"{result['examples_per_second'] / base['examples_per_second']:.2f}",
                 f"{speed / published_base:.2f}" if speed and published_base else "–"]
        lines.append("| " + " | ".join(words) + " |")
    return lines
