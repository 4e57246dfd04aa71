#!/usr/bin/env python3
"""Writes tests/golden/metrics.json: texts, and what rouge-score, sacrebleu and scikit-learn say of them.

Usage: scripts/oracle.sh tools/make_metrics_golden.py
"""
import json
import pathlib

import metric_cases


def main():
    cases = metric_cases.fixed_cases()
    for case in cases:
        case["scores"] = metric_cases.expected_scores(case)
    path = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/metrics.json"
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{path}: {len(cases)} cases")


if __name__ == "__main__":
    main()
