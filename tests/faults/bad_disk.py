"""Runs of `hetmoe train` on a disk that is as bad as a test wants (bad_disk.cpp)."""

import errno
import os
import pathlib
import re
import time

from command_line import HETMOE, mpirun
from resume_command_test import ResumeCase

LIBRARY = os.environ.get("HETMOE_BAD_DISK_LIBRARY", str(HETMOE.parent / "tests/faults/libtests_bad_disk.so"))
END_SECONDS = 60
ALLOWED_CODES = {"EIO": errno.EIO, "EACCES": errno.EACCES, "ESTALE": errno.ESTALE, "ENOSPC": errno.ENOSPC}


def is_running(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class BadDiskCase(ResumeCase):
    def setUp(self):
        super().setUp()
        self.environment["LD_PRELOAD"] = LIBRARY
        self.environment["HETMOE_BAD_DISK"] = str(self.folder / "rules")

    def disk(self, *rules):
        """From now on, for running programs too. `CALL ACTION PART` each; none: a good disk."""
        lines = []
        for rule in rules:
            call, action, part = rule.split()
            lines.append(f"{call} {ALLOWED_CODES.get(action, action)} {part}\n")
        self.write("rules.new", "".join(lines)).rename(self.folder / "rules")

    def start_run(self, *settings, run="run", ranks=2):
        words = [word for setting in ("train.steps=1000000", "train.learning_rate=0.01", *settings)
                 for word in ("--set", setting)]
        return self.start(*mpirun(ranks, HETMOE, "train", "small.yaml", "--run-dir", run, *words))

    def wait_until(self, holds, job):
        deadline = time.monotonic() + END_SECONDS
        while not holds():
            self.assertIsNone(job.poll(), "ended by itself")
            self.assertLess(time.monotonic(), deadline, "it takes too long")
            time.sleep(0.02)

    def end_of(self, job):
        out, err = job.communicate(timeout=END_SECONDS)
        return job.returncode, out, err

    def ranks_of(self, ranks, run="run"):
        """Process ids, by rank, of a run that has started."""
        logs = [(self.folder / f"{run}/logs/rank-{rank}.log").read_text() for rank in range(ranks)]
        return [int(re.findall(r"process (\d+)", log)[-1]) for log in logs]

    def wait_until_gone(self, processes):
        deadline = time.monotonic() + END_SECONDS
        while any(is_running(process) for process in processes):
            self.assertLess(time.monotonic(), deadline, "a rank lives on")
            time.sleep(0.02)

    def steps_of(self, run="run"):
        path = self.folder / run / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def has_event(self, name, run="run"):
        path = self.folder / run / "events.jsonl"
        return path.exists() and f'"event":"{name}"' in path.read_text()

    def assert_everything_committed_verifies(self, run="run"):
        code, out, err = self.run_command(HETMOE, "checkpoint", "verify", run)
        self.assertEqual(code, 0, out + err)
