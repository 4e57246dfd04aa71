#!/usr/bin/env python3
"""Prints what each language gains, from the output of `switchyard report --json`.

Usage: summary.py REPORT.json
"""
import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    for group in report["languages"]:
        languages = group["languages"]
        print(f"{group['group']} against {group['baseline']}")
        print(f"{'language':10} {'NLP before':>11} {'NLP':>9} {'gain':>8} {'x steps':>8}")
        for language in languages:
            speed_up = language["speed_up_steps"]
            print(f"{language['name']:10} {language['baseline_nlp']:11.4f} {language['nlp']:9.4f} "
                  f"{language['gain']:+8.4f} "
                  f"{'-' if speed_up is None else format(speed_up, '.2f'):>8}")
        mean_gain = sum(language["gain"] for language in languages) / len(languages)
        speed_up = group["mean_speed_up_steps"]
        print(f"{group['gained']} of {len(languages)} languages gain, {mean_gain:+.4f} nats on average; "
              f"{group['reached']} reach the baseline's best, in "
              f"{'-' if speed_up is None else format(speed_up, '.2f')} times fewer steps")


if __name__ == "__main__":
    main()
