#!/usr/bin/env python3
"""What experiments/driver makes of a matrix and of numbers, on made-up ones."""
import pathlib
import sys
import tempfile
import types
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "experiments"))
from driver import matrix, tables, texts, timing, trainings  # noqa: E402
from driver.program import Stop  # noqa: E402


def result(name, seed, nlp, **more):
    return {"name": f"{name}-seed-{seed}", "family": "{model}", "variables": {"model": name, "seed": seed},
            "nlp": nlp, "parameters": 2e6} | more


class MatrixTest(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.home / "recipe.toml").write_text("a")
        (self.home / "common.toml").write_text('seeds = [7]\n[common]\nrecipe = "recipe.toml"\nset = { x = "{place}" }\n')

    def expand(self, text, smoke=False):
        (self.home / "experiment.toml").write_text('include = "common.toml"\n' + text)
        return matrix.expand(matrix.read(self.home), self.home, {"place": "P"}, smoke)

    def test_fills_in_variables_seeds_and_earlier_runs(self):
        found = self.expand('''
[[runs]]
name = "{m}"
for = { m = ["a", "b"] }
set = { y = { by = "m", a = 1, b = 2 } }
[[runs]]
name = "after-{m}"
for = { m = ["b"] }
seeds = [7, 8]
set = { start = "[run:{m}-seed-7]", flag = true }
''')
        self.assertEqual([t.name for t in found], ["a-seed-7", "b-seed-7", "after-b-seed-7", "after-b-seed-8"])
        self.assertEqual(found[1].settings, {"x": "P", "y": "2", "train.seed": "7"})
        self.assertEqual(found[3].settings["start"], found[1].folder)
        self.assertEqual(found[3].settings["flag"], "true")
        self.assertEqual(found[3].needs, [found[1].folder])

    def test_folders_follow_from_settings_and_recipe(self):
        text = '[[runs]]\nname = "a"\nset = { y = 1 }\n'
        first = self.expand(text)[0].folder
        self.assertEqual(self.expand(text)[0].folder, first)
        self.assertNotEqual(self.expand(text.replace("1", "2"))[0].folder, first)
        (self.home / "recipe.toml").write_text("b")
        self.assertNotEqual(self.expand(text)[0].folder, first)

    def test_runs_that_are_not_there_are_told(self):
        with self.assertRaisesRegex(Stop, "no run b-seed-7"):
            self.expand('[[runs]]\nname = "a"\nset = { start = "[run:b-seed-7]" }\n')


class TablesTest(unittest.TestCase):
    results = [result("dense", 1, -4.0), result("dense", 2, -4.2), result("teacher", 1, -3.0),
               result("teacher", 2, -3.0), result("student", 1, -3.5), result("student", 2, -3.7)]
    spec = {"runs": ["{model}"], "rows": "{model}", "baseline": "dense", "best": "teacher", "name": "run"}

    def rows(self, *values):
        return tables.make_table(self.spec | {"values": list(values)}, self.results)[2:]

    def test_gains_are_of_the_same_seed(self):
        self.assertEqual(self.rows("gain")[1], "| teacher | 1.100 ± 0.141 |")
        self.assertEqual(self.rows("gain")[2], "| student | 0.500 |")

    def test_the_share_kept_is_that_of_the_means(self):
        self.assertEqual([row.split("|")[2].strip() for row in self.rows("kept_percent")], ["0", "100", "45"])

    def test_numbers_that_are_not_there_are_told(self):
        with self.assertRaisesRegex(Stop, "no run has a number size"):
            tables.value_of("size", self.results[0], tables.rows_of(self.spec, self.results), self.spec)

    def test_what_a_doubling_adds(self):
        results = [result(f"switch-{experts}", seed, nlp) | {"variables": {"experts": experts, "seed": seed}}
                   for seed, nlps in ((1, [-4.0, -3.9, -3.8]), (2, [-4.0, -3.8, -3.6]))
                   for experts, nlp in zip((1, 2, 4), nlps)]
        line = tables.slope_line({"runs": ["{model}"], "slope": "experts"}, results)[0]
        self.assertIn("from 1 to 4, adds 0.1500 ± 0.0707 nats", line)

    def test_only_some_rows(self):
        table = tables.make_table(self.spec | {"values": ["nlp"], "only": ["teacher"]}, self.results)
        self.assertEqual(table[2:], ["| teacher | -3.000 |"])

    def test_what_is_not_finite_or_not_reached_is_told(self):
        self.assertEqual(tables.cell([1.0, float("nan")], 1), "not finite")
        self.assertEqual(tables.cell([1.0, None], 1), "1.0 (1 of 2)")
        self.assertEqual(tables.cell([None], 1), "–")


class TimingTest(unittest.TestCase):
    EXPERIMENT = {"tables": [{"values": ["nlp", "speed_up_time"]}]}

    def test_only_pages_with_times_need_it(self):
        self.assertTrue(timing.needed(self.EXPERIMENT))
        self.assertTrue(timing.needed({"figures": [{"x": "minutes"}]}))
        self.assertFalse(timing.needed({"tables": [{"values": ["nlp"]}], "figures": [{"x": "steps"}]}))

    def test_models_take_turns_and_seeds_share_a_time(self):
        def training(name):
            return types.SimpleNamespace(name=name, folder="runs/" + name, upcycle={}, needs=[], settings={})

        trainings = [training(f"{kind}-seed-{seed}") for kind in ("dense", "sparse") for seed in (1, 2)]
        results = [{"name": t.name} for t in trainings]
        times, order = iter([10, 20, 12, 50, 11, 21]), []

        def time_once(program, work, training, threads, plan):
            order.append(training.name)
            return next(times)

        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(timing, "time_once", time_once):
            path = pathlib.Path(folder) / "timing.json"
            timing.add_times(self.EXPERIMENT, None, None, 1, trainings, results, path)
            timing.add_times(self.EXPERIMENT, None, None, 1, trainings, results, path)  # not timed again
        self.assertEqual(order, ["dense-seed-1", "sparse-seed-1"] * 3)
        self.assertEqual([r["milliseconds_per_step"] for r in results], [11, 11, 21, 21])


class RoutingTest(unittest.TestCase):
    def test_counts_the_last_tenth(self):
        lines = [{"dropped_share": 0.5, "layers": [{"load": [1.0, 0.0]}]}] * 9
        lines += [{"dropped_share": 0.0, "layers": [{"load": [0.75, 0.25]}, {"load": [0.99, 0.01]}]}]
        numbers = trainings.routing_numbers(lines)
        self.assertAlmostEqual(numbers["dropped_percent"], 45)
        self.assertEqual(numbers["final_dropped_percent"], 0)
        self.assertAlmostEqual(numbers["busiest_expert_percent"], 87)
        self.assertEqual(numbers["idle_experts"], 0.5)


class TextsTest(unittest.TestCase):
    def test_other_files_under_the_same_names_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            note, file = pathlib.Path(folder) / "data" / "sources.json", pathlib.Path(folder) / "a.txt"
            file.write_text("one")
            texts.check_unchanged(note, [file], "hint")
            texts.check_unchanged(note, [file], "hint")
            file.write_text("other")
            with self.assertRaisesRegex(Stop, "was made of other files"):
                texts.check_unchanged(note, [file], "hint")


if __name__ == "__main__":
    unittest.main()
