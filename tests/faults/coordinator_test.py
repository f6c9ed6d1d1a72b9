"""A coordinator that runs by itself is killed, away, or gone for good: training goes on, nothing is lost.
HETMOE_KILLS=200 for a soak; HETMOE_SEED repeats one."""

import json
import os
import random
import signal
import socket
import sys
import time
import unittest

from command_line import HETMOE
from run_case import KILLS, SEED, STEPS, RunCase

WAIT_SECONDS = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Coordinated(RunCase):
    def setUp(self):
        super().setUp()
        self.address = f"127.0.0.1:{free_port()}"
        self.settings = (f"coordinator.address={self.address}", "coordinator.credentials=coordinator/coordinator.json",
                         "coordinator.beat_seconds=0.1", "coordinator.away_seconds=1", "placement.every=0",
                         "checkpoint.every_steps=2")

    def start_coordinator(self):
        process = self.start(HETMOE, "coordinator", "--listen", self.address, "--run-dir", "coordinator")
        self.await_true(lambda: self.status() is not None or process.poll() is not None)
        self.assertIsNone(process.poll())
        return process

    def status(self):
        """What the coordinator says; None: it does not answer."""
        code, out, _ = self.run_command(HETMOE, "status", self.address, "--credentials",
                                        "coordinator/coordinator.json", "--json")
        return json.loads(out) if code == 0 else None

    def await_true(self, condition):
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def kill(self, process):
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    def newest_metric(self, run):
        try:
            return max((line["step"] for line in self.read_lines(f"{run}/metrics.jsonl")), default=0)
        except (FileNotFoundError, json.JSONDecodeError):
            return 0  # not there yet, or its last line is being written

    def expect_losses_of_an_undisturbed_run(self, run, steps):
        self.train_to("whole", steps, ("placement.every=0",))
        self.assertEqual(self.losses(run), self.losses("whole"))
        self.assert_everything_committed_verifies(run)

    def test_training_and_saves_go_on_without_it_and_it_catches_up(self):
        coordinator = self.start_coordinator()
        training = self.start(*self.command("cut", (*self.settings, "train.steps=1000000")))
        self.await_true(lambda: self.newest_step("cut") >= 4)
        self.kill(coordinator)
        begun = self.newest_step("cut")
        self.await_true(lambda: self.newest_step("cut") >= begun + 4 or training.poll() is not None)
        self.assertIsNone(training.poll())
        self.start_coordinator()
        self.await_true(lambda: (self.status() or {}).get("last_step", {}).get("step", 0) > begun + 4)
        training.send_signal(signal.SIGUSR1)
        out, err = training.communicate(timeout=WAIT_SECONDS)
        self.assertEqual(training.returncode, 75, out + err)
        end = self.newest_metric("cut")
        self.await_true(lambda: self.status()["committed"]["step"] == end)
        self.assertEqual(self.status()["last_step"]["step"], end)

    def test_a_coordinator_that_never_comes_is_told_about_and_costs_nothing_but_that(self):
        code, out, err = self.run_command(
            *self.command("cut", (*self.settings, "coordinator.credentials=", f"train.steps={STEPS}")))
        self.assertEqual(code, 0, out + err)
        self.assertIn(self.address, out + err)
        self.expect_losses_of_an_undisturbed_run("cut", STEPS)

    def kill_a_rank(self, training):
        """Of a run that has begun, or is about to."""
        self.await_true(lambda: len(self.ranks_of("cut")) == 2 or training.poll() is not None)
        os.kill(random.choice(self.ranks_of("cut")), signal.SIGKILL)
        _, err = training.communicate(timeout=WAIT_SECONDS)
        self.assertEqual(training.returncode, 137, err)

    def test_random_kills_of_ranks_and_coordinator(self):
        random.seed(SEED)
        print(f"HETMOE_SEED={SEED}", file=sys.stderr)
        endless = (*self.settings, "train.steps=1000000")
        coordinator = self.start_coordinator()
        training = self.start(*self.command("cut", endless))
        kills = {"rank": 0, "coordinator": 0}
        for _ in range(KILLS):
            time.sleep(random.uniform(0.1, 1.5))
            self.assertIsNone(training.poll())
            before = self.newest_step("cut")
            victim = random.choice(sorted(kills))
            kills[victim] += 1
            if victim == "coordinator":
                self.kill(coordinator)
                time.sleep(random.uniform(0, 0.5))
                coordinator = self.start_coordinator()
            else:
                self.kill_a_rank(training)
                self.assert_everything_committed_verifies("cut")
                training = self.start(*self.command("cut", endless))
            self.assertGreaterEqual(self.newest_step("cut"), before)
        self.await_true(lambda: self.newest_step("cut") > 0)
        self.kill_a_rank(training)
        print(f"kills: {kills}, up to step {self.newest_step('cut')}", file=sys.stderr)
        steps = self.newest_step("cut") + 5
        self.train_to("cut", steps, self.settings)
        self.await_true(lambda: self.status()["committed"]["step"] == steps)
        self.expect_losses_of_an_undisturbed_run("cut", steps)


if __name__ == "__main__":
    unittest.main()
