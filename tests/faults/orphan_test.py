"""A rank that outlives its run: it wakes up when the folder belongs to a later generation, and changes nothing there."""

import os
import signal
import unittest

from bad_disk import BadDiskCase, is_running

RANKS = 3


class Orphan(BadDiskCase):
    def start_and_orphan(self):
        """Two ranks live on, stopped, without mpirun and rank 0. Gives their process ids."""
        job = self.start_run("train.collective_seconds=3", "checkpoint.every_steps=5", ranks=RANKS)
        self.wait_until(lambda: self.saved_steps("run"), job)
        processes = self.ranks_of(RANKS)
        for process in processes[1:]:
            self.addCleanup(self.end_orphan, process)
            os.kill(process, signal.SIGSTOP)
        for process in (job.pid, processes[0]):
            os.kill(process, signal.SIGKILL)
        job.wait(timeout=60)
        return processes[1:]

    def end_orphan(self, process):
        if is_running(process):
            os.kill(process, signal.SIGKILL)

    def test_says_nothing_in_the_folder_of_the_next_run(self):
        orphans = self.start_and_orphan()
        newest = self.saved_steps("run")[-1]
        self.run_to("run", newest + 3)
        finished = self.read_json("run/exit.json")
        events = self.read_lines("run/events.jsonl")
        self.assertTrue(all(map(is_running, orphans)), "no orphan is left: this test shows nothing")
        for process in orphans:
            os.kill(process, signal.SIGCONT)
        self.wait_until_gone(orphans)
        self.assertEqual(self.read_json("run/exit.json"), finished)
        self.assertEqual(finished["code"], 0)
        self.assertEqual(self.read_lines("run/events.jsonl"), events)
        self.assert_everything_committed_verifies()


if __name__ == "__main__":
    unittest.main()
