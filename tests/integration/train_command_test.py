"""`hetmoe train`: what a run leaves, how it is refused, how it ends when it is interrupted."""

import json
import os
import pathlib
import shutil
import signal
import time
import unittest

from command_line import CONFIGURATION, HETMOE, CommandLineCase, mpirun


def processes_with(text):
    """Process ids whose command line holds `text`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and text in (entry / "cmdline").read_bytes().decode(errors="replace"):
                found.append(int(entry.name))
        except OSError:
            pass  # it ended while we looked
    return found


class Finished(CommandLineCase):
    def test_leaves_every_file_of_the_contract(self):
        code, out, err = self.train("small.yaml", "--run-dir", "run", ranks=2)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("done: 3 steps", out)
        self.assertEqual(self.read_json("run/exit.json")["code"], 0)
        self.assertEqual([line["step"] for line in self.read_lines("run/metrics.jsonl")], [1, 2, 3])
        events = [line["event"] for line in self.read_lines("run/events.jsonl")]
        self.assertEqual(events, ["started", "save_begun", "save_committed", "finished"])
        placed = self.read_json("run/plan.json")["layers"][0]["slices"]
        self.assertEqual({piece["expert"] for piece in placed}, {0, 1, 2, 3})
        for rank in (0, 1):
            log = (self.folder / f"run/logs/rank-{rank}.log").read_text()
            self.assertIn(f"info: rank {rank} of 2, process ", log)
            self.assertIn("finished after step 3", log)

    def test_every_step_sends_the_bytes_that_were_foretold(self):
        code, out, _ = self.train("small.yaml", "--run-dir", "run", ranks=3)
        self.assertEqual(code, 0)
        self.assertIn("update traffic", out)
        started = self.read_lines("run/events.jsonl")[0]
        for line in self.read_lines("run/metrics.jsonl"):
            for name in ("bytes_gradients", "bytes_parameters"):
                self.assertGreater(line[name], 0)
                self.assertEqual(line[name], started[name])

    def test_the_resolved_configuration_gives_the_same_losses(self):
        self.train("small.yaml", "--run-dir", "first", "--set", "train.seed=7")
        code, _, err = self.train("first/config.yaml", "--run-dir", "second")
        self.assertEqual((code, err), (0, ""))
        losses = [[line["loss"] for line in self.read_lines(f"{run}/metrics.jsonl")]
                  for run in ("first", "second")]
        self.assertEqual(*losses)


class Forced(CommandLineCase):
    """12 losses of training and 2 on held-out text, 5 windows at a time of which ranks take parts."""

    def setUp(self):
        super().setUp()
        words = " ".join(f"word{number % 97}" for number in range(20000))
        self.write("text.txt", "\n\n".join(words[start:start + 100] for start in range(0, len(words), 100)))
        code, _, err = self.run_command(HETMOE, "data", "prepare", "text.txt", "--out", "data", "--tokenizer", "bytes",
                                        "--document-separator", "blank-line", "--valid-fraction", "0.1")
        self.assertEqual(code, 0, err)

    def losses(self, *settings, ranks=0):
        run = f"run{len(list(self.folder.glob('run*')))}"
        arguments = [part for setting in settings for part in ("--set", setting)]
        code, _, err = self.train("small.yaml", "--run-dir", run, "--set", "train.steps=12", "--set",
                                  "train.learning_rate=0.01", "--set", "model.initializer_range=0.1", "--set",
                                  "model.vocab_size=257", "--set", "data.valid=data/valid", "--set", "train.global_batch=5",
                                  "--set", "evaluate.every_steps=6", "--set", "evaluate.tokens=208", *arguments, ranks=ranks)
        self.assertEqual(code, 0, err)
        lines = self.read_lines(f"{run}/metrics.jsonl")
        return [line["loss"] if "loss" in line else line["eval_loss"] for line in lines]

    def assert_same(self, first, second):
        self.assertEqual((len(first), len(second)), (14, 14))
        for one, other in zip(first, second):
            self.assertAlmostEqual(one, other, delta=1e-5 * one)

    def test_source_weights_do_not_change_the_losses(self):
        even = self.losses(ranks=2)
        self.assert_same(self.losses("train.source_weights=[1, 3]", ranks=2), even)

    def test_a_workload_gives_the_same_losses_on_any_number_of_ranks(self):
        for workload in ("W3", "W5"):  # in W5 rank 1 reads nothing
            with self.subTest(workload):
                one = self.losses(f"model.router.forced={workload}")
                self.assert_same(self.losses(f"model.router.forced={workload}", ranks=2), one)
        self.assertNotEqual(one, self.losses())


class Rebalanced(CommandLineCase):
    """Two ranks and routing in which one expert of eight is hot: slices move, numbers stay."""

    SETTINGS = ("model.router.forced=W1", "train.steps=16", "train.global_batch=32", "train.sequence_length=64",
                "model.experts.count=8", "placement.granularity=4")

    def run_with(self, name, *settings):
        arguments = [word for setting in self.SETTINGS + settings for word in ("--set", setting)]
        code, out, err = self.train("small.yaml", "--run-dir", name, *arguments, ranks=2)
        self.assertEqual((code, err), (0, ""))
        return out, self.read_lines(f"{name}/metrics.jsonl"), self.read_lines(f"{name}/events.jsonl")

    def assert_same_losses(self, lines, others):
        for line, other in zip(lines, others, strict=True):
            self.assertAlmostEqual(line["loss"], other["loss"], delta=1e-5 * other["loss"])

    def test_slices_follow_the_load_and_the_losses_stay(self):
        _, still, events = self.run_with("still", "placement.every=0")
        self.assertNotIn("rebalance", [line["event"] for line in events])
        out, lines, events = self.run_with("moved", "placement.every=4")
        moves = [line for line in events if line["event"] == "rebalance"]
        self.assertEqual([line["stage"] for line in moves], ["moved", "measured"])
        moved, measured = moves
        step = moved["step"]  # the first look, unless the machine was too slow for moving to pay
        self.assertEqual((measured["moved_after_step"], measured["measured_steps"]), (step, 4))
        self.assertIn(f"rebalanced after step {step}: ", out)
        self.assertLess(moved["flops_max_over_mean_after"], 1.03)
        self.assertGreater(moved["flops_max_over_mean_before"], 1.1)
        self.assertGreater(moved["moving_bytes"], 0)
        self.assertGreater(moved["predicted_gain_seconds"], 0)
        self.assertNotEqual(self.read_json("moved/plan.json")["layers"], self.read_json("still/plan.json")["layers"])
        for line in lines[step:]:
            self.assertLess(line["flops_max_over_mean"], lines[0]["flops_max_over_mean"])
        self.assert_same_losses(lines, still)

    def test_contiguous_experts_stay_where_they_are(self):
        _, _, events = self.run_with("contiguous", "placement.every=4", "placement.strategy=contiguous")
        self.assertNotIn("rebalance", [line["event"] for line in events])

    def test_replicas_share_the_tokens_of_an_expert_and_the_losses_stay(self):
        _, still, _ = self.run_with("still", "placement.every=0")
        _, lines, _ = self.run_with("copied", "placement.every=4", "placement.replicas=8",
                                    "placement.memory_cap_ratio=4", "placement.tolerance=0.001")
        shares = [piece["share"] for layer in self.read_json("copied/plan.json")["layers"]
                  for piece in layer["slices"]]
        self.assertLess(min(shares), 1)
        self.assert_same_losses(lines, still)


class Refused(CommandLineCase):
    def assert_refused(self, outcome, code, *texts):
        self.assertEqual(outcome[0], code, outcome)
        for text in texts:
            self.assertIn(text, outcome[2])

    def assert_one_line(self, err):
        ours = [line for line in err.splitlines() if line.startswith("hetmoe: ")]
        self.assertEqual(len(ours), 1, err)

    def test_a_directory_in_use(self):
        self.train("small.yaml", "--run-dir", "run")
        before = (self.folder / "run/metrics.jsonl").read_bytes()
        outcome = self.train("small.yaml", "--run-dir", "run", "--resume", "never", ranks=2)
        self.assert_refused(outcome, 3, "hetmoe: run directory 'run' is already in use")
        self.assert_one_line(outcome[2])
        self.assertEqual((self.folder / "run/metrics.jsonl").read_bytes(), before)

    def test_a_directory_whose_run_never_started_may_be_used_again(self):
        outcome = self.train("small.yaml", "--run-dir", "run", "--set", "data.train=nothing/here", ranks=2)
        self.assert_refused(outcome, 3, "nothing/here")
        self.assert_one_line(outcome[2])
        self.assertEqual(self.read_json("run/exit.json")["code"], 3)
        self.assertIn("error: ", (self.folder / "run/logs/rank-1.log").read_text())
        self.assertEqual(self.train("small.yaml", "--run-dir", "run")[0], 0)
        self.assertEqual(self.read_json("run/exit.json")["code"], 0)

    def test_all_faults_of_a_configuration_at_once(self):
        outcome = self.train("small.yaml", "--set", "train.stepz=1", "--set", "train.global_batch=-1",
                             "--set", "model.num_heads=three")
        self.assert_refused(outcome, 2, "train.stepz", "train.global_batch", "-1", "model.num_heads", "three")

    def test_ranks_with_different_configurations(self):
        self.write("other.yaml", CONFIGURATION.replace("steps: 3", "steps: 4"))
        command = mpirun(1, HETMOE, "train", "small.yaml", "--run-dir", "run")
        outcome = self.run_command(*command, ":", "-np", "1", HETMOE, "train", "other.yaml", "--run-dir", "run")
        self.assert_refused(outcome, 2, "rank 1: other.yaml: not the same configuration as on rank 0")

    def test_ranks_with_different_shards(self):
        for rank, words in enumerate((400, 300)):
            self.write(f"rank{rank}/text.txt", "A small text of words.\n\n" * words)
            code, _, err = self.run_command(HETMOE, "data", "prepare", f"rank{rank}/text.txt", "--out",
                                            f"rank{rank}/data", "--tokenizer", "bytes", "--document-separator", "blank-line")
            self.assertEqual(code, 0, err)
            shutil.copy(self.folder / "small.yaml", self.folder / f"rank{rank}/small.yaml")
        train = [HETMOE, "train", "small.yaml", "--set", "data.train=data/train", "--set",
                 "model.vocab_size=257", "--run-dir", self.folder / "run"]
        outcome = self.run_command(*mpirun(1, "-wdir", self.folder / "rank0", *train), ":", "-np", "1", "-wdir",
                                   self.folder / "rank1", *train)
        self.assert_refused(outcome, 3, "rank 1: data/train holds ",
                            "all ranks must read the same files")

    def test_source_weights_for_another_number_of_ranks(self):
        outcome = self.train("small.yaml", "--run-dir", "run", "--set", "train.source_weights=[1, 3, 2]", ranks=2)
        self.assert_refused(outcome, 2, "train.source_weights: 3 numbers, allowed: 2, one for each rank, or none")
        self.assert_one_line(outcome[2])
        self.assertEqual(self.read_json("run/exit.json")["code"], 2)

    def test_a_model_larger_than_the_machine(self):
        outcome = self.train("small.yaml", "--run-dir", "run", "--set", "model.experts.mean_width=500000",
                             "--set", "model.hidden_size=4096")
        self.assert_refused(outcome, 2, "GiB")
        self.assert_one_line(outcome[2])


class Interrupted(CommandLineCase):
    def start_long_run(self, ranks):
        """Starts a run that would take hours; gives it once three steps are recorded."""
        process = self.start(*mpirun(ranks, HETMOE, "train", "small.yaml", "--run-dir", self.folder / "run",
                                     "--set", "train.steps=10000000"))
        metrics = self.folder / "run/metrics.jsonl"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if metrics.exists() and metrics.read_bytes().count(b"\n") >= 3:
                return process
            self.assertIsNone(process.poll(), "ended by itself")
            time.sleep(0.05)
        self.fail("no three steps in 30 s")

    def assert_all_ended(self, process):
        out, err = process.communicate(timeout=20)
        self.assertNotEqual(process.returncode, 0, out + err)
        deadline = time.monotonic() + 10
        while (left := processes_with(str(self.folder / "run"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(left, [])
        self.assertGreaterEqual(len(self.read_lines("run/metrics.jsonl")), 3)
        self.assertEqual([str(path) for path in self.folder.glob("run/**/*.tmp*")], [])

    def test_ctrl_c_ends_all_ranks_and_leaves_no_half_file(self):
        process = self.start_long_run(ranks=3)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
        self.assert_all_ended(process)

    def test_a_killed_rank_ends_the_others(self):
        process = self.start_long_run(ranks=3)
        ranks = [pid for pid in processes_with(str(self.folder / "run")) if pid != process.pid]
        self.assertEqual(len(ranks), 3)
        os.kill(max(ranks), signal.SIGKILL)
        self.assert_all_ended(process)
        self.assertEqual(process.returncode, 137)


if __name__ == "__main__":
    unittest.main()
