"""kill -9 at any moment: a run goes on from its newest committed step, and its losses are those of a run that lost
nothing. HETMOE_KILLS=200 for a soak; HETMOE_SEED repeats one."""

import os
import pathlib
import random
import signal
import sys
import time
import unittest

from command_line import HETMOE, CommandLineCase, mpirun

KILLS = int(os.environ.get("HETMOE_KILLS", "8"))
SEED = int(os.environ.get("HETMOE_SEED", str(random.randrange(10**6))))
STEPS = 20 + 10 * KILLS
MODEL = ("train.learning_rate=0.01", "model.hidden_size=64", "model.vocab_size=2048", "train.global_batch=8",
         f"train.steps={STEPS}")


class Killed(CommandLineCase):
    def command(self, run, settings):
        words = [word for setting in MODEL + settings for word in ("--set", setting)]
        return mpirun(2, HETMOE, "train", "small.yaml", "--run-dir", run, *words)

    def losses(self, run):
        lines = {line["step"]: line for line in self.read_lines(f"{run}/metrics.jsonl") if "loss" in line}
        return [lines[step]["loss"] for step in sorted(lines)]

    def ranks_of(self, run):
        """Process ids of the ranks, and not of mpirun, whose command line names the run directory too."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                in_folder = os.path.samefile(entry / "cwd", self.folder)
                if words[0] == str(HETMOE).encode() and run.encode() in words and in_folder:
                    found.append(int(entry.name))
            except (OSError, ValueError):
                pass  # it ended while we looked, or is no process
        return found

    def kill_once(self, run, settings, seconds):
        process = self.start(*self.command(run, settings))
        deadline = time.monotonic() + 30
        while len(self.ranks_of(run)) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(seconds)
        victims = self.ranks_of(run)
        if victims:
            os.kill(random.choice(victims), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        return process.returncode, err

    def newest_step(self, run):
        markers = self.folder.glob(f"{run}/checkpoints/step-????????/COMMITTED")
        return max((int(marker.parent.name[5:]) for marker in markers), default=0)

    def assert_everything_committed_verifies(self, run):
        if self.newest_step(run) > 0:
            code, out, err = self.run_command(HETMOE, "checkpoint", "verify", run)
            self.assertEqual(code, 0, out + err)

    def survive(self, settings, delta):
        random.seed(SEED)
        print(f"HETMOE_SEED={SEED}", file=sys.stderr)
        code, out, err = self.run_command(*self.command("whole", settings))
        self.assertEqual(code, 0, out + err)
        killed = 0
        for _ in range(3 * KILLS):
            before = self.newest_step("cut")
            code, err = self.kill_once("cut", settings + ("checkpoint.every_steps=1",), random.uniform(0.2, 1.6))
            self.assertIn(code, (0, 137), err)
            self.assertGreaterEqual(self.newest_step("cut"), before)
            self.assert_everything_committed_verifies("cut")
            killed += code == 137
            if code == 0 or killed == KILLS:
                break
        code, out, err = self.run_command(*self.command("cut", settings))
        self.assertEqual(code, 0, out + err)
        self.assertGreater(killed, 0)
        for one, other in zip(self.losses("cut"), self.losses("whole"), strict=True):
            self.assertAlmostEqual(one, other, delta=delta)

    def test_during_training_and_every_phase_of_a_save(self):
        self.survive(("placement.every=0",), delta=0)

    def test_during_rebalances(self):
        self.survive(("placement.every=3", "model.router.forced=W1", "placement.granularity=4"), delta=1e-4)

    def test_launch_goes_on_by_itself(self):
        settings = ("placement.every=0", "checkpoint.every_steps=5")
        code, out, err = self.run_command(*self.command("whole", settings))
        self.assertEqual(code, 0, out + err)
        words = [word for setting in MODEL + settings for word in ("--set", setting)]
        launch = self.start(HETMOE, "launch", "small.yaml", "--ranks", "2", "--run-dir", "cut", "--first-wait", "0.1",
                            *words)
        while self.newest_step("cut") < STEPS // 4:
            self.assertIsNone(launch.poll())
            time.sleep(0.01)
        os.kill(self.ranks_of("cut")[-1], signal.SIGKILL)
        out, err = launch.communicate(timeout=120)
        self.assertEqual(launch.returncode, 0, out + err)
        self.assertEqual(self.losses("cut"), self.losses("whole"))
        self.assertIn("effective time", out)
        self.assertIn("advice: with 1 failures so far, checkpoint.every_steps ", out)
        events = [line["event"] for line in self.read_lines("cut/events.jsonl")]
        self.assertEqual((events.count("started"), events.count("rank_lost")), (2, 1))


if __name__ == "__main__":
    unittest.main()
