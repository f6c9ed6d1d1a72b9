"""`hetmoe train --init`: the weights of a checkpoint and nothing else of it."""

import json
import os
import pathlib
import re
import shutil
import signal
import time
import unittest

from command_line import HETMOE, PROJECT, CommandLineCase, mpirun

SAVE = pathlib.Path(os.environ.get("HETMOE_SAVE_CHECKPOINT", PROJECT / "build" / "save_checkpoint_fixture"))
# So small that no weight changes: a - 1e-30 is a.
STILL = "train.learning_rate=1e-30"
MOVING = "train.learning_rate=0.01"


class InitCase(CommandLineCase):
    def words(self, run, steps, *settings, init=None, resume=None):
        words = [word for setting in (f"train.steps={steps}", *settings) for word in ("--set", setting)]
        words += ["--init", init] if init else []
        words += ["--resume", resume] if resume else []
        return ["small.yaml", "--run-dir", run, *words]

    def run_to(self, run, steps, *settings, ranks=2, code=0, **options):
        got, out, err = self.train(*self.words(run, steps, *settings, **options), ranks=ranks)
        self.assertEqual(got, code, out + err)
        return out, err

    def losses(self, run):
        """The last line of each step counts, as for all readers."""
        lines = {line["step"]: line["loss"] for line in self.read_lines(f"{run}/metrics.jsonl") if "loss" in line}
        return [lines[step] for step in sorted(lines)]

    def started(self, run):
        return [line for line in self.read_lines(f"{run}/events.jsonl") if line["event"] == "started"]

    def newest_step(self, run):
        markers = self.folder.glob(f"{run}/checkpoints/step-????????/COMMITTED")
        return max((int(marker.parent.name[5:]) for marker in markers), default=0)


class Begins(InitCase):
    def test_as_from_the_start_bit_for_bit_when_the_weights_are_those_of_the_start(self):
        self.run_to("still", 3, STILL)  # has moments, a sampler's position, a schedule that has gone on
        settings = (MOVING, "train.warmup_steps=4", "train.schedule=cosine")
        self.run_to("whole", 8, *settings)
        out, _ = self.run_to("begun", 8, *settings, init="still")
        self.assertEqual(self.losses("begun"), self.losses("whole"))
        self.assertIn("begins with the weights of still/checkpoints/step-00000003\n", out)
        self.run_to("on_three", 8, *settings, init="still/checkpoints/step-00000003", ranks=3)
        for one, other in zip(self.losses("on_three"), self.losses("whole"), strict=True):
            self.assertAlmostEqual(one, other, delta=1e-5 * other)
        for run in ("begun", "on_three"):
            event, = self.started(run)
            self.assertEqual((event["step"], event["checkpoint"]), (0, ""))
            self.assertEqual(event["weights"], "still/checkpoints/step-00000003")
            state = self.read_json(f"{run}/checkpoints/step-00000008/manifest.json")["state"]
            self.assertEqual((state["optimizer_steps"], state["skipped_steps"]), (8, 0))
            line = self.read_lines(f"{run}/metrics.jsonl")[0]
            self.assertEqual((line["step"], line["tokens"], line["learning_rate"]), (1, 64, 0.01 / 4))
        self.assertEqual(self.started("whole")[0]["weights"], "")

    def test_with_what_was_learnt(self):
        words = " ".join(f"word{number % 97} of {number % 13}" for number in range(3000))
        self.write("text.txt", "\n\n".join(words[start:start + 100] for start in range(0, len(words), 100)))
        code, _, err = self.run_command(HETMOE, "data", "prepare", "text.txt", "--out", "text", "--tokenizer", "bytes",
                                        "--document-separator", "blank-line", "--valid-fraction", "0.2")
        self.assertEqual(code, 0, err)
        data = ("model.vocab_size=257", "data.train=text/train", "data.valid=text/valid", "evaluate.tokens=1000",
                "evaluate.every_steps=100")
        self.run_to("taught", 30, MOVING, *data)
        code, out, err = self.run_command(HETMOE, "evaluate", "taught", "--data", "text/valid", "--json")
        self.assertEqual(code, 0, err)
        taught = json.loads(out)["loss"]
        self.run_to("fresh", 1, STILL, *data)
        for ranks in (1, 3):
            self.run_to(f"begun{ranks}", 1, STILL, "train.global_batch=6", "train.seed=5", *data, init="taught",
                        ranks=ranks)
            line, = [line for line in self.read_lines(f"begun{ranks}/metrics.jsonl") if "eval_loss" in line]
            self.assertAlmostEqual(line["eval_loss"], taught, delta=1e-5 * taught)
        fresh, = [line for line in self.read_lines("fresh/metrics.jsonl") if "eval_loss" in line]
        self.assertGreater(fresh["eval_loss"], taught + 1)

    def test_from_a_checkpoint_without_moments_that_resume_refuses(self):
        code, _, err = self.run_command(SAVE, "small.yaml", "bare", "7", "3")
        self.assertEqual(code, 0, err)
        out, _ = self.run_to("run", 2, init="bare")
        self.assertIn("begins with the weights of bare/checkpoints/step-00000007\n", out)
        _, err = self.run_to("other", 9, resume="bare", code=3)
        self.assertRegex(err, r"step-00000007: tensor exp_avg\.\S+ is missing")

    def test_says_what_the_weights_will_mean_otherwise(self):
        self.run_to("first", 1)
        out, _ = self.run_to("run", 1, "model.rope_theta=500", "model.router.load_balance=0.5", init="first")
        self.assertIn("the weights of --init were trained otherwise: model.rope_theta: 10000 in the checkpoint, 500 "
                      "here\n", out)
        self.assertNotIn("load_balance", out)

    def test_with_never_in_a_new_folder(self):
        self.run_to("first", 1)
        self.run_to("run", 1, init="first", resume="never")
        self.assertNotEqual(self.started("run")[0]["weights"], "")


class GoesOn(InitCase):
    def test_from_its_own_checkpoint_when_the_same_command_comes_again(self):
        self.run_to("first", 2, MOVING)
        self.run_to("whole", 6, MOVING, init="first")
        self.run_to("cut", 3, MOVING, init="first")
        shutil.move(self.folder / "first", self.folder / "away")  # it is not looked at again
        out, _ = self.run_to("cut", 6, MOVING, init="first")
        self.assertIn("goes on after step 3 from cut/", out)
        self.assertIn("--init first is not used: the run has begun already\n", out)
        self.assertEqual(self.losses("cut"), self.losses("whole"))
        self.assertEqual([event["weights"] != "" for event in self.started("cut")], [True, False])

    def test_under_launch_after_a_rank_is_killed(self):
        # Without a save before it, and then with one: the first restart begins again with the same weights.
        self.run_to("first", 2, MOVING)
        settings = (MOVING, "placement.every=0", "checkpoint.every_steps=100")
        steps = 600
        self.run_to("whole", steps, *settings, init="first")
        launch = self.start(HETMOE, "launch", "--ranks", "2", "--first-wait", "0.1",
                            *self.words("cut", steps, *settings, init="first"))
        self.kill_rank("cut", lambda: self.lines("cut") >= 3, launch)
        self.kill_rank("cut", lambda: self.newest_step("cut") > 0, launch)
        out, err = launch.communicate(timeout=120)
        self.assertEqual(launch.returncode, 0, out + err)
        self.assertEqual(self.losses("cut"), self.losses("whole"))
        self.assertEqual([event["weights"] != "" for event in self.started("cut")], [True, True, False])

    def lines(self, run):
        """Of the newest attempt."""
        metrics = self.folder / run / "metrics.jsonl"
        return metrics.read_bytes().count(b"\n") if metrics.exists() else 0

    def kill_rank(self, run, is_time, launch):
        deadline = time.monotonic() + 60
        while not is_time():
            self.assertIsNone(launch.poll(), "ended by itself")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        processes = re.findall(r"process (\d+)", (self.folder / run / "logs/rank-1.log").read_text())
        os.kill(int(processes[-1]), signal.SIGKILL)


class Refused(InitCase):
    def setUp(self):
        super().setUp()
        self.run_to("first", 1, ranks=1)

    def test_another_shape_with_the_first_difference(self):
        for setting, text in (("model.vocab_size=300", "model.vocab_size: 256 in the checkpoint, 300 here"),
                              ("model.hidden_size=16", "model.hidden_size: 32 in the checkpoint, 16 here"),
                              ("model.experts.ratio=1", "model.experts.widths: ["),
                              ("model.hyper.enabled=true", "model.hyper.enabled: false in the checkpoint, true here")):
            with self.subTest(setting):
                _, err = self.run_to("run", 1, setting, init="first", code=2)
                line, = [line for line in err.splitlines() if line.startswith("hetmoe: ")]
                self.assertIn(f"--init first/checkpoints/step-00000001: {text}", line)
        self.run_to("run", 1, init="first")  # the folder is not spoilt

    def test_a_resume_that_names_a_checkpoint_too(self):
        for command in (("train",), ("launch", "--ranks", "2")):
            code, _, err = self.run_command(HETMOE, *command, *self.words("run", 1, init="first", resume="first"))
            self.assertEqual(code, 2)
            self.assertIn("--init first with --resume first: allowed beside --init: --resume auto or never", err)
        code, _, err = self.train("small.yaml", "--init", "")
        self.assertEqual(code, 2)
        self.assertIn("--init", err)

    def test_what_is_no_checkpoint_or_a_damaged_one(self):
        _, err = self.run_to("run", 1, init="nowhere", code=3)
        self.assertIn("nowhere", err)
        (self.folder / "empty").mkdir()
        _, err = self.run_to("run", 1, init="empty", code=3)
        self.assertIn("empty", err)
        damaged, = self.folder.glob("first/checkpoints/*/*.safetensors")
        content = bytearray(damaged.read_bytes())
        content[-3] ^= 4
        damaged.write_bytes(content)
        _, err = self.run_to("run", 1, init="first", code=3)
        self.assertIn(damaged.name, err)


if __name__ == "__main__":
    unittest.main()
