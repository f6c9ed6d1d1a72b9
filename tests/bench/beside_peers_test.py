"""The suites on the CPU run at sizes that say nothing, and their lines are complete and tell what really ran."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import beside_peers
import measured_process
import own_program

BUILD = pathlib.Path(os.environ.get("HETMOE_BUILD", own_program.PROJECT / "build"))
PEER = own_program.PROJECT / ".deps" / "peers" / "bin" / "python"
TINY = beside_peers.SIZES["tiny"]
UNEQUAL = [32, 56, 72, 96]  # arithmetic, mean 64, largest over smallest 2.56, multiples of 8
SHARED = {"case", "size", "precision", "threads", "ranks", "rounds", "widths", "steps", "tokens_per_second", "spread",
          "model_flops_per_second", "yardstick_flops_per_second", "yardstick_ratio", "peak_memory_bytes",
          "start_seconds", "first_step_seconds"}
CASES = "hetmoe,tuned,tuned_compiled,padded_widths,equal_widths,transformers_same_memory,transformers_installed"


def suite(*words):
    return subprocess.run([sys.executable, "-B", beside_peers.__file__, "--sizes", "tiny", "--threads", "1", "--rounds",
                           "1", "--steps", "2", "--warm-up", "1", *words], capture_output=True, text=True, timeout=500)


def json_lines(done):
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@unittest.skipUnless(PEER.exists(), "tests/peers/setup.sh has not been run")
class Lines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.done = suite("--build", str(BUILD), "--peer", str(PEER), "--cases", CASES, "--precisions", "bf16",
                         "--ranks", "1,2")
        cls.lines = json_lines(cls.done)

    def line_of(self, case, ranks=1):
        found, = [line for line in self.lines if (line["case"], line["ranks"]) == (case, ranks)]
        return found

    def test_every_case_is_measured_once_and_the_program_on_two_ranks_as_well(self):
        self.assertEqual(self.done.returncode, 0, self.done.stdout + self.done.stderr)
        self.assertEqual([(line["case"], line["ranks"]) for line in self.lines],
                         [*((case, 1) for case in CASES.split(",")), ("hetmoe", 2)])

    def test_lines_are_complete(self):
        for line in self.lines:
            self.assertEqual(SHARED - set(line), set(), line["case"])
            self.assertEqual((line["precision"], line["threads"], line["steps"]), ("bf16", 1, 2))
            self.assertAlmostEqual(line["yardstick_ratio"] * line["yardstick_flops_per_second"]
                                   / line["model_flops_per_second"], 1, places=6)
            self.assertGreater(line["peak_memory_bytes"], 2**25)
            self.assertGreater(line["start_seconds"], 0)
        self.assertIn("data_share", self.line_of("hetmoe"))

    def test_widths_are_those_that_ran(self):
        for case, ranks in (("hetmoe", 1), ("hetmoe", 2), ("tuned", 1), ("tuned_compiled", 1)):
            self.assertEqual(self.line_of(case, ranks)["widths"], UNEQUAL)
        self.assertEqual(self.line_of("padded_widths")["widths"], [96] * 4)
        for case in ("equal_widths", "transformers_same_memory", "transformers_installed"):
            self.assertEqual(self.line_of(case)["widths"], [64] * 4)

    def test_settings_of_memory_are_those_that_a_case_is_named_for(self):
        for case, has_them in (("tuned", True), ("tuned_compiled", True), ("transformers_same_memory", True),
                               ("transformers_installed", False)):
            self.assertEqual(self.line_of(case)["memory_settings"], has_them)

    def test_flops_of_equal_widths_are_those_of_their_formula_whoever_counts(self):
        rates = [self.line_of(case) for case in ("equal_widths", "transformers_installed")]
        work = [line["model_flops_per_second"] / line["tokens_per_second"] for line in rates]
        widths = TINY.layers * TINY.tokens * TINY.top_k * TINY.mean_width
        for found in work:
            self.assertAlmostEqual(found * TINY.tokens / TINY.flops_per_step(widths), 1, delta=1e-6)

    def test_the_table_has_a_row_for_every_line(self):
        rows = [row for row in self.done.stdout.splitlines() if row.startswith("| tiny")]
        self.assertEqual([[word.strip() for word in row.split("|")][4] for row in rows],
                         [line["case"] for line in self.lines])

    def test_a_case_that_fails_is_a_line_and_the_exit_code(self):
        with tempfile.TemporaryDirectory() as folder:
            done = suite("--build", folder, "--peer", str(PEER), "--cases", "hetmoe,tuned", "--precisions", "fp32",
                         "--ranks", "1")
        lines = json_lines(done)
        self.assertEqual([(line["case"], "error" in line) for line in lines], [("hetmoe", True), ("tuned", False)])
        self.assertEqual(done.returncode, 1)
        self.assertIn("failed", done.stdout)

    def test_a_setting_without_a_yardstick_fails_and_says_why(self):
        done = suite("--peer", "/nowhere/python", "--cases", "hetmoe", "--precisions", "bf16", "--ranks", "1")
        self.assertEqual([set(line) & {"case", "error"} for line in json_lines(done)], [{"case", "error"}])
        self.assertEqual(done.returncode, 1)


class Program(unittest.TestCase):
    def test_flops_are_counted_as_the_program_counts_them(self):
        with tempfile.TemporaryDirectory() as folder:
            command = [BUILD / "hetmoe", "train", own_program.PROJECT / "tests/bench/end_to_end.yaml", "--run-dir",
                       f"{folder}/run"]
            for key, value in {**own_program.settings_of(TINY, "fp32", 1), "train.steps": 1}.items():
                command += ["--set", f"{key}={value}"]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            record, = own_program.lines_of(pathlib.Path(folder) / "run" / "metrics.jsonl")
        selected = sum(count * width for count, width in zip(record["expert_tokens"], UNEQUAL, strict=True))
        counted = record["model_flops_per_second"] * record["step_seconds"]
        self.assertAlmostEqual(TINY.flops_per_step(selected) / counted, 1, places=9)

    def test_growth_is_set_beside_what_linear_cost_would_be(self):
        done = subprocess.run([sys.executable, "-B", own_program.PROJECT / "tests/bench/growth.py", "--tiny", "--rounds",
                               "1", "--steps", "2", "--warm-up", "1", "--build", BUILD, "tokens", "experts", "sequence"],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = json_lines(done)
        self.assertEqual([(line["case"], line["tokens"], line["experts"], line["sequence"]) for line in lines], [
            ("growth in tokens", 24, 4, 24), ("growth in tokens", 48, 4, 24), ("growth in experts", 48, 4, 24),
            ("growth in experts", 48, 8, 24), ("growth in sequence", 48, 4, 12), ("growth in sequence", 48, 4, 24)])
        for first, second in zip(lines[::2], lines[1::2]):
            self.assertEqual(first["over_linear"], 1)
            self.assertEqual(len(second["widths"]), second["experts"])
        tokens = lines[:2]
        per_token = [line["step_seconds"] / line["tokens"] for line in tokens]
        self.assertAlmostEqual(tokens[1]["over_linear"], per_token[1] / per_token[0], places=6)


# Stands for mpirun and the program: tells of a run in fp32, whatever was asked for.
PROGRAM = """#!/usr/bin/env python3
import json, pathlib, sys
words = sys.argv
folder = pathlib.Path(words[words.index("--run-dir") + 1])
folder.mkdir()
started = {"event": "started", "time": "2026-01-01T00:00:00.000Z", "precision": "fp32", "threads": 1, "ranks": 1}
(folder / "events.jsonl").write_text(json.dumps(started) + "\\n")
record = {"tokens": 48, "tokens_per_second": 1, "model_flops_per_second": 1, "step_seconds": 1, "phase_seconds": {"data": 0},
          "flops_max_over_mean": 1}
(folder / "metrics.jsonl").write_text((json.dumps(record) + "\\n") * 3)
(folder / "plan.json").write_text('{"layers": [{"slices": []}]}')
"""


class Judgement(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        (self.build / "hetmoe").write_text(PROGRAM)
        (self.build / "hetmoe").chmod(0o755)

    def measure(self, precision="fp32", ranks=1, steps=2):
        return own_program.measure(self.build, TINY, precision, 1, ranks, steps, 1)

    def test_a_run_that_is_not_what_was_asked_for_is_an_error(self):
        self.assertEqual(self.measure()["steps"], 2)
        with self.assertRaisesRegex(RuntimeError, "precision fp32 ran, bf16 was asked for"):
            self.measure(precision="bf16")
        with self.assertRaisesRegex(RuntimeError, "3 steps of 48 tokens ran, 4 of 48 were asked for"):
            self.measure(steps=3)

    def test_a_process_that_hangs_is_ended_and_one_that_fails_says_why(self):
        with self.assertRaisesRegex(RuntimeError, "not done after 0.5 s"):
            measured_process.run(["sleep", "60"], 0.5)
        with self.assertRaisesRegex(RuntimeError, "python.*: reason"):
            measured_process.run([sys.executable, "-c", "import sys; sys.exit('reason')"], 60)

    def test_memory_is_that_of_the_largest_process_of_a_tree(self):
        child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(300 << 20)'])"
        found = measured_process.run([sys.executable, "-c", child], 60)
        self.assertGreater(found.peak_memory_bytes, 300 << 20)
        self.assertLess(measured_process.run([sys.executable, "-c", ""], 60).peak_memory_bytes, 100 << 20)

    def test_the_table_sets_rates_of_flops_beside_one_another(self):
        shared = {"size": "M", "precision": "bf16", "threads": 1, "ranks": 1, "rounds": 1, "spread": 0, "yardstick_ratio": 0.5,
                  "peak_memory_bytes": 2**30, "start_seconds": 1, "first_step_seconds": 1, "tokens_per_second": 7}
        rows = beside_peers.table([{**shared, "case": "hetmoe", "model_flops_per_second": 3e9},
                                   {**shared, "case": "tuned", "model_flops_per_second": 2e9},
                                   {**shared, "case": "tuned", "threads": 2, "model_flops_per_second": 2e9}]).splitlines()
        self.assertEqual([row.split("|")[-2].strip() for row in rows[2:]], ["1.00 x", "1.50 x", ""])


if __name__ == "__main__":
    unittest.main()
