"""SIGTERM, sent in all the ways in which it comes."""

import os
import signal
import unittest

from bad_disk import BadDiskCase


class Terminated(BadDiskCase):
    def setUp(self):
        super().setUp()
        self.job = self.start_run("checkpoint.every_steps=1000000")
        self.wait_until(lambda: self.steps_of() >= 3, self.job)
        self.ranks = self.ranks_of(2)

    def assert_saved_where_it_stopped(self):
        step = self.events("run", "stopped")[0]["step"]
        self.assertEqual(self.saved_steps("run"), [step])
        self.assertEqual(self.read_json("run/exit.json")["code"], 75)
        out, _ = self.run_to("run", step + 2)
        self.assertIn(f"goes on after step {step} from ", out)
        self.assertEqual(sorted(self.last_lines("run")), list(range(1, step + 3)))

    def test_at_one_rank_alone_stops_all_together(self):
        os.kill(self.ranks[1], signal.SIGTERM)
        code, _, err = self.end_of(self.job)
        self.assertEqual(code, 75, err)
        self.assert_saved_where_it_stopped()

    def test_at_every_rank_again_and_again_is_harmless(self):
        for _ in range(5):
            for rank in self.ranks:
                os.kill(rank, signal.SIGTERM)
        code, _, err = self.end_of(self.job)
        self.assertEqual(code, 75, err)
        self.assert_saved_where_it_stopped()

    def test_at_mpirun_saves_as_far_as_its_second_reaches_and_twice_is_harmless(self):
        self.job.send_signal(signal.SIGTERM)
        self.job.send_signal(signal.SIGTERM)
        code, _, err = self.end_of(self.job)
        self.assertNotEqual(code, 0)
        if self.saved_steps("run"):
            self.assert_everything_committed_verifies()
            self.assert_saved_where_it_stopped()
        else:  # the machine was too slow: nothing is saved, and nothing is half saved
            self.assertNotIn(75, [code])
            self.run_to("run", 2)


if __name__ == "__main__":
    unittest.main()
