"""A rank that stops, dies or hangs ends the whole job, by the watchdog, which says who and where."""

import os
import pathlib
import re
import signal
import subprocess
import time
import unittest

from command_line import HETMOE, CommandLineCase, mpirun

RANKS = 3
DEADLINE_SECONDS = 3
# The deadline, a grace of 2 s for reports and mpirun's own seconds, with room for a busy machine.
END_SECONDS = 60


class Watched(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.processes = []
        self.addCleanup(self.end_ranks)

    def end_ranks(self):
        """A stopped rank would outlive a failed test."""
        for process in self.processes:
            try:
                if b"hetmoe" in pathlib.Path(f"/proc/{process}/cmdline").read_bytes():
                    os.kill(process, signal.SIGKILL)
            except OSError:
                pass

    def start_long_run(self, *settings):
        """Starts a run that would take hours; gives it once it has made more collectives than are kept."""
        arguments = [word for setting in settings for word in ("--set", setting)]
        job = self.start(*mpirun(RANKS, HETMOE, "train", "small.yaml", "--run-dir", self.folder / "run", "--set",
                                 "train.steps=10000000", "--set", f"train.collective_seconds={DEADLINE_SECONDS}",
                                 *arguments))
        metrics = self.folder / "run/metrics.jsonl"
        self.wait_until(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") >= 30, job)
        logs = [(self.folder / f"run/logs/rank-{rank}.log").read_text() for rank in range(RANKS)]
        self.processes = [int(re.search(r"process (\d+)", log)[1]) for log in logs]
        return job

    def wait_until(self, holds, job):
        deadline = time.monotonic() + END_SECONDS
        while not holds():
            self.assertIsNone(job.poll(), "ended by itself")
            self.assertLess(time.monotonic(), deadline, "it takes too long")
            time.sleep(0.05)

    def outcome_of(self, job):
        """Gives (exit code, standard error) of a job that must end by itself, with all its ranks."""
        try:
            _, err = job.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self.fail(f"the job still runs after {END_SECONDS} s")
        deadline = time.monotonic() + END_SECONDS
        while alive := [process for process in self.processes if is_running(process)]:
            self.assertLess(time.monotonic(), deadline, f"left behind: {alive}")
            time.sleep(0.05)
        return job.returncode, err

    def verdict_in(self, err):
        """The one line that says what happened, as (speaker, text)."""
        lines = re.findall(r"^rank (\d) of 3: watchdog: (.*)$", err, re.MULTILINE)
        self.assertEqual(len(lines), 1, err)
        return int(lines[0][0]), lines[0][1]

    def assert_names_the_collective(self, text):
        match = re.match(r"(\w+) number (\d+) on (\w+) in step (\d+) was waited for ([\d.]+) s; ", text)
        self.assertIsNotNone(match, text)
        self.assertGreaterEqual(float(match[5]), DEADLINE_SECONDS)
        event = self.read_lines("run/events.jsonl")[-1]
        self.assertEqual(event["event"], "watchdog")
        self.assertEqual([event["operation"], event["sequence"], event["communicator"], event["step"]],
                         [match[1], int(match[2]), match[3], int(match[4])])
        return event

    def assert_reported(self, ranks):
        for rank in ranks:
            report = self.read_json(f"run/collectives/rank-{rank}.json")
            self.assertEqual(report["process"], self.processes[rank])
            self.assertEqual(len(report["collectives"]), 256)
            numbers = [one["number"] for one in report["collectives"]]
            self.assertEqual(numbers, list(range(numbers[0], numbers[0] + 256)))

    def assert_exit(self, text):
        written = self.read_json("run/exit.json")
        self.assertEqual(written["code"], 4)
        self.assertIn(text.split(" (reports:")[0], written["reason"])


def is_running(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Stopped(Watched):
    def assert_stopped_rank_is_named(self, stopped, speaker):
        job = self.start_long_run()
        os.kill(self.processes[stopped], signal.SIGSTOP)
        code, err = self.outcome_of(job)
        self.assertEqual(code, 4, err)
        who, text = self.verdict_in(err)
        self.assertEqual(who, speaker)
        self.assertIn(f"; no sign of life from rank {stopped} (reports: ", text)
        event = self.assert_names_the_collective(text)
        self.assertEqual([event["rank"], event["silent_ranks"], event["behind_ranks"]], [speaker, str(stopped), ""])
        self.assert_reported([rank for rank in range(RANKS) if rank != stopped])
        self.assert_exit(text)
        self.assertEqual([line["event"] for line in self.read_lines("run/events.jsonl")], ["started", "watchdog"])
        self.assertIn("watchdog: ", (self.folder / f"run/logs/rank-{speaker}.log").read_text())

    def test_a_stopped_rank_is_named_and_ends_the_job(self):
        self.assert_stopped_rank_is_named(stopped=2, speaker=0)

    def test_when_rank_0_stops_rank_1_speaks(self):
        self.assert_stopped_rank_is_named(stopped=0, speaker=1)

    def test_a_job_that_is_stopped_as_a_whole_goes_on_afterwards(self):
        job = self.start_long_run()
        for process in self.processes:
            os.kill(process, signal.SIGSTOP)
        time.sleep(3 * DEADLINE_SECONDS)
        steps = len(self.read_lines("run/metrics.jsonl"))
        for process in self.processes:
            os.kill(process, signal.SIGCONT)
        metrics = self.folder / "run/metrics.jsonl"
        self.wait_until(lambda: metrics.read_bytes().count(b"\n") > steps + 3, job)
        time.sleep(DEADLINE_SECONDS)
        self.assertIsNone(job.poll(), "the watchdog took the pause for a hang")
        self.assertEqual(list((self.folder / "run/collectives").iterdir()), [])


class Killed(Watched):
    def test_a_killed_rank_ends_the_job(self):
        job = self.start_long_run()
        os.kill(self.processes[1], signal.SIGKILL)
        code, err = self.outcome_of(job)
        self.assertEqual(code, 137, err)
        self.assertIn("signal 9", err)

    def test_a_rank_that_is_killed_while_it_is_stopped_ends_the_job(self):
        job = self.start_long_run()
        os.kill(self.processes[1], signal.SIGSTOP)
        os.kill(self.processes[1], signal.SIGKILL)
        self.assertEqual(self.outcome_of(job)[0], 137)


class SwitchedOff(Watched):
    def test_without_deadlines_a_stopped_rank_is_waited_for(self):
        job = self.start_long_run("train.collective_seconds=0", "train.first_collective_seconds=0")
        os.kill(self.processes[2], signal.SIGSTOP)
        time.sleep(3 * DEADLINE_SECONDS)
        self.assertIsNone(job.poll())
        os.kill(self.processes[2], signal.SIGCONT)
        steps = len(self.read_lines("run/metrics.jsonl"))
        metrics = self.folder / "run/metrics.jsonl"
        self.wait_until(lambda: metrics.read_bytes().count(b"\n") > steps + 3, job)
        self.assertFalse((self.folder / "run/collectives").exists())


if __name__ == "__main__":
    unittest.main()
