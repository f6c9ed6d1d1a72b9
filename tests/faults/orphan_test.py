"""A run that wakes up when its folder belongs to a later generation does not speak for it."""

import os
import signal
import unittest

from bad_disk import BadDiskCase
from command_line import HETMOE

# The lock is taken over after 60 s of silence. (Ranks that lose mpirun end by themselves, and stopped ones by the
# system: what outlives its run on one host is a run without mpirun.)
TAKEOVER_SECONDS = 180


class Orphan(BadDiskCase):
    def test_a_run_that_was_stopped_and_replaced_says_nothing_when_it_wakes(self):
        job = self.start(HETMOE, "train", "small.yaml", "--run-dir", "run", "--set", "train.steps=1000000", "--set",
                         "train.learning_rate=0.01", "--set", "checkpoint.every_steps=5")
        self.wait_until(lambda: self.saved_steps("run"), job)
        os.kill(job.pid, signal.SIGSTOP)
        steps = self.steps_of() + 30
        later = self.start(HETMOE, "train", "small.yaml", "--run-dir", "run", "--set", f"train.steps={steps}", "--set",
                           "train.learning_rate=0.01")
        out, err = later.communicate(timeout=TAKEOVER_SECONDS)
        self.assertEqual(later.returncode, 0, err)
        self.assertIn("silent for 60 s", out)
        finished = self.read_json("run/exit.json")
        self.assertEqual(finished["code"], 0)
        targets = self.write("run/prometheus/targets.json", "of a later start")
        os.kill(job.pid, signal.SIGUSR1)
        os.kill(job.pid, signal.SIGCONT)
        code, _, err = self.end_of(job)
        self.assertNotEqual(code, 0, err)
        self.assertEqual(self.read_json("run/exit.json"), finished)
        self.assertEqual(targets.read_text(), "of a later start")
        self.assertEqual(self.saved_steps("run")[-1], steps)
        self.assert_everything_committed_verifies()


if __name__ == "__main__":
    unittest.main()
