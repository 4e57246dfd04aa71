#!/usr/bin/env python3
"""Reads a run's event files with the real TensorBoard and compares them with its metrics.jsonl.

    pip install tensorboard
    python tools/check_tensorboard.py RUN_DIR
"""
import json
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

POSITION = ("step", "tokens", "seconds")


def numbers(line):
    """(tag, value) of all numbers of one line of metrics."""
    kind = line["kind"]
    for key, value in line.items():
        if isinstance(value, (int, float)) and key not in POSITION:
            yield f"{kind}/{key}", value
    for source, nlp in line.get("nlp_by_data", {}).items():
        yield f"{kind}/nlp_by_data/{source}", nlp
    for block in line.get("blocks", []):
        for key in ("gradient_norm", "update_norm"):
            yield f"{kind}/block/{key}/{block['block']}", block[key]
    for layer in line.get("layers", []):
        for key, value in layer.items():
            if isinstance(value, (int, float)):
                yield f"{kind}/router/{key}/{layer['layer']}", value


def main():
    run = sys.argv[1]
    events = EventAccumulator(f"{run}/tensorboard", size_guidance={"scalars": 0})
    events.Reload()
    expected = {}
    with open(f"{run}/metrics.jsonl", encoding="utf-8") as file:
        for line in map(json.loads, file):
            if line["kind"] != "event":
                for tag, value in numbers(line):
                    expected.setdefault(tag, []).append((line["step"], float(np.float32(value))))
    found = {tag: [(event.step, event.value) for event in events.Scalars(tag)]
             for tag in events.Tags()["scalars"]}
    different = [tag for tag in expected.keys() | found.keys()
                 if expected.get(tag) != found.get(tag)]
    if different:
        sys.exit(f"not the same: {', '.join(sorted(different))}")
    print(f"{sum(map(len, found.values()))} scalars under {len(found)} tags are the same")


if __name__ == "__main__":
    main()
