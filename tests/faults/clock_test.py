"""The wall clock jumps back while a run goes on, and stays there for the next one."""

import os
import signal
import unittest

from bad_disk import BadDiskCase


class JumpingBack(BadDiskCase):
    def start_and_jump(self, seconds):
        job = self.start_run("checkpoint.every_steps=20")
        self.wait_until(lambda: self.saved_steps("run"), job)
        before = self.saved_steps("run")[-1]
        self.disk(f"clock {seconds} -")
        self.wait_until(lambda: self.saved_steps("run")[-1] > before + 40, job)
        return job

    def assert_times_jumped(self):
        times = [event["time"] for event in self.read_lines("run/events.jsonl")]
        self.assertNotEqual(times, sorted(times), "the clock did not jump: this test shows nothing")

    def test_a_run_keeps_its_lock_and_the_next_goes_on_from_the_newest_step(self):
        job = self.start_and_jump(-7200)
        job.send_signal(signal.SIGUSR1)
        code, _, err = self.end_of(job)
        self.assertEqual(code, 75, err)
        self.assert_times_jumped()
        step = self.events("run", "stopped")[0]["step"]
        self.assertEqual(self.saved_steps("run")[-1], step)
        out, _ = self.run_to("run", step + 3)
        self.assertIn(f"goes on after step {step} from ", out)
        self.assertRegex(out, r"effective time +[0-9.]+ %|done: ")
        self.assertNotIn("nan", out)

    def test_a_killed_run_gives_its_folder_to_the_next_at_once(self):
        job = self.start_and_jump(-7200)
        ranks = self.ranks_of(2)
        os.killpg(job.pid, signal.SIGKILL)  # mpirun; its ranks end with it
        job.communicate(timeout=60)
        self.wait_until_gone(ranks)
        newest = self.saved_steps("run")[-1]
        out, _ = self.run_to("run", newest + 3)
        self.assertIn("that process is gone", out)
        self.assertIn(f"goes on after step {newest} from ", out)

    def test_forward_a_day_changes_nothing_either(self):
        job = self.start_and_jump(86400)
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(self.end_of(job)[0], 75)


if __name__ == "__main__":
    unittest.main()
