"""`hetmoe sweep`: several runs of one configuration, gone on with when it is called again, and their comparison."""

import pathlib
import shlex
import signal
import time
import unittest

from command_line import HETMOE, PROJECT, CommandLineCase

SWEEP = """\
config: small.yaml
set: {train.steps: 2}
runs:
  equal: {model.experts.shape: homogeneous}
  unequal: {model.experts.ratio: 3}
"""
# What a batch system is handed, word by word, and its answer.
RECORDING_SCRIPT = """\
import json, sys
with open("calls.jsonl", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
print("Submitted batch job", 7)
sys.exit(1 if sys.argv[3].endswith("unequal") and len(open("calls.jsonl").readlines()) == 2 else 0)
"""


class Sweep(CommandLineCase):
    def sweep(self, *arguments, text=SWEEP):
        self.write("sweep.yaml", text)
        return self.run_command(HETMOE, "sweep", "sweep.yaml", "--out", "all", *arguments)

    def table(self, out):
        """The lines of the comparison by the names of their runs."""
        lines = out[out.index("\nrun "):].strip().splitlines()
        return {line.split()[0]: line.split() for line in lines[1:] if line and not line.startswith(("written", "sweep"))}

    def steps_of(self, run):
        return [line["step"] for line in self.read_lines(f"all/{run}/metrics.jsonl") if "loss" in line]

    def test_runs_end_in_one_comparison(self):
        code, out, err = self.sweep()
        self.assertEqual((code, err), (0, ""))
        table = self.table(out)
        self.assertEqual(sorted(table), ["equal", "unequal"])
        for words in table.values():
            self.assertEqual(words[1:3], ["finished", "2"])
        self.assertIn("written: all/comparison.html", out)
        self.assertIn("sweep: 2 of 2 runs finished", out)
        page = (self.folder / "all/comparison.html").read_text()
        for part in ("equal", "unequal", "model.experts.ratio", "Training loss by step"):
            self.assertIn(part, page)
        self.assertRegex((self.folder / "all/equal/config.yaml").read_text(), r"shape: homogeneous")

    def test_active_parameters_are_those_of_the_experts_that_were_selected(self):
        code, out, _ = self.sweep(text="config: small.yaml\nruns: {a: {model.experts.widths: [64, 64, 64, 64], train.steps: 2}}\n")
        self.assertEqual(code, 0)
        # Two layers: attention 4 x 32 x 32, router 4 x 32, two norms, top-2 of SwiGLU 3 x 64 x 32; embedding, head, norm.
        expected = 2 * (4 * 32 * 32 + 4 * 32 + 2 * 32 + 2 * 3 * 64 * 32) + 2 * 256 * 32 + 32
        self.assertEqual(" ".join(self.table(out)["a"][-2:]), f"{expected / 1000:.1f} k")

    def test_called_again_it_passes_over_what_is_finished_and_goes_on_with_the_rest(self):
        self.assertEqual(self.sweep()[0], 0)
        lines = (self.folder / "all/equal/metrics.jsonl").read_text()
        longer = SWEEP.replace("ratio: 3", "ratio: 3, train.steps: 4")
        code, out, err = self.sweep(text=longer)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("equal: finished before", out)
        self.assertEqual((self.folder / "all/equal/metrics.jsonl").read_text(), lines)
        self.assertEqual(self.steps_of("unequal"), [1, 2, 3, 4])

    def test_a_run_that_fails_is_named_and_the_others_go_on(self):
        text = "config: small.yaml\nset: {train.steps: 2}\nruns: {bad: {data.train: nothing/here}, good: {}}\n"
        code, out, err = self.sweep(text=text)
        self.assertEqual(code, 3, err)
        self.assertRegex(err, r"(?m)^hetmoe: sweep: bad failed with code 3: ")
        self.assertEqual(self.table(out)["good"][1], "finished")
        self.assertIn("sweep: 1 of 2 runs finished", out)

    def test_every_fault_of_every_configuration_is_told_before_anything_runs(self):
        text = ("config: small.yaml\nset: {train.stepz: 2}\n"
                "runs: {a: {model.router.top_k: 9}, b: {}, c: {train.sequence_length: -1}}\n")
        for more in ((), ("--dry-run",)):
            code, out, err = self.sweep(*more, text=text)
            self.assertEqual((code, out), (2, ""))
            self.assertRegex(err, r"run a and 2 more: .*train\.stepz.*unknown key, nearest: train\.steps")
            self.assertRegex(err, r"run a: .*top_k")
            self.assertRegex(err, r"run c: .*sequence_length")
            self.assertFalse((self.folder / "all").exists())

    def test_a_dry_run_prints_lines_that_a_shell_understands_and_writes_nothing(self):
        code, out, err = self.sweep("--dry-run", "--ranks", "3", "--launch-option=--max-restarts", "--launch-option=0",
                                    text=SWEEP + "grid: {model.experts.widths: [[32, 64, 32, 64]]}\n")
        self.assertEqual((code, err), (0, ""))
        words = shlex.split(out.splitlines()[0])
        self.assertEqual(words[:7], [str(HETMOE.resolve()), "launch", "small.yaml", "--ranks", "3", "--run-dir",
                                     "all/equal-widths-32_64_32_64"])
        self.assertEqual(words[7:9], ["--max-restarts", "0"])
        self.assertEqual(words[-1], "model.experts.widths=[32, 64, 32, 64]")
        self.assertEqual(len(out.splitlines()), 2)
        self.assertFalse((self.folder / "all").exists())

    def test_a_batch_system_gets_each_run_once(self):
        self.write("record.py", RECORDING_SCRIPT)
        submit = ("--submit", "python3 record.py --nodes=2")
        code, out, err = self.sweep(*submit)
        self.assertEqual(code, 4, out)
        self.assertIn("sweep: unequal failed with code 4: not submitted: the line ended with code 1", err)
        calls = self.read_lines("calls.jsonl")
        self.assertEqual(calls[0], ["--nodes=2", "small.yaml", "all/equal", "--set", "train.steps=2", "--set",
                                    "model.experts.shape=homogeneous"])
        self.assertEqual((self.folder / "all/equal.submitted").read_text(), "Submitted batch job 7\n")
        code, out, _ = self.sweep(*submit)  # the second one only
        self.assertEqual(code, 0)
        self.assertIn("sweep: equal: submitted before; remove all/equal.submitted to submit it again", out)
        self.assertEqual([call[2] for call in self.read_lines("calls.jsonl")], ["all/equal", "all/unequal", "all/unequal"])

    def test_a_signal_lets_the_run_save_and_begins_no_other(self):
        text = SWEEP.replace("train.steps: 2", "train.steps: 1000000, checkpoint.every_steps: 0")
        self.write("sweep.yaml", text)
        process = self.start(HETMOE, "sweep", "sweep.yaml", "--out", "all")
        metrics = self.folder / "all/equal/metrics.jsonl"
        deadline = time.monotonic() + 40
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 3):
            self.assertIsNone(process.poll(), "ended by itself")
            self.assertLess(time.monotonic(), deadline, "no three steps in 40 s")
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75, err)
        self.assertIn("sweep: equal stopped: ", err)
        self.assertEqual(self.read_json("all/equal/exit.json")["code"], 75)
        self.assertFalse((self.folder / "all/unequal").exists())
        self.assertIn("sweep: 0 of 2 runs finished", out)
        saved = self.steps_of("equal")[-1]
        code, _, err = self.sweep(text=text.replace("1000000", str(saved + 2)))
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.steps_of("equal"), list(range(1, saved + 3)))

    def test_what_cannot_be_written_is_named(self):
        self.write("all", "a file")
        code, _, err = self.sweep()
        self.assertEqual((code, len(err.splitlines())), (3, 1))
        self.assertIn("'all'", err)

    def test_the_sweeps_of_this_tree_hold_good_configurations(self):
        files = sorted(pathlib.Path(PROJECT / "configs/sweeps").glob("*.yaml"))
        self.assertTrue(files)
        readme = (PROJECT / "configs/README.md").read_text()
        for file in files:
            process = self.start("env", f"--chdir={PROJECT}", HETMOE, "sweep", file, "--out", "never-made", "--dry-run")
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, err), (0, ""), file)
            self.assertTrue(out.startswith(str(HETMOE.resolve())))
            self.assertIn(f"sweeps/{file.name}", readme)


if __name__ == "__main__":
    unittest.main()
