"""kill -9 of the process that is about to take the next step of a save, once for each such step."""

import unittest

from bad_disk import BadDiskCase
from command_line import HETMOE

# The call before which a process dies while step 6 is saved beside 2 and 4, of which the older goes then; and the
# newest step that stands afterwards.
PHASES = (
    ("open kill step-00000006/shard-00000", 4),
    ("write kill step-00000006/shard-00001", 4),
    ("fsync kill step-00000006/shard-00001", 4),
    ("open kill step-00000006/.manifest.json", 4),
    ("write kill step-00000006/.manifest.json", 4),
    ("fsync kill step-00000006/.manifest.json", 4),
    ("rename kill step-00000006/manifest.json", 4),
    ("write kill step-00000006/.COMMITTED", 4),
    ("fsync kill step-00000006/.COMMITTED", 4),
    ("rename kill step-00000006/COMMITTED", 4),
    ("remove kill step-00000002/COMMITTED", 6),
    ("remove kill shard-00001", 6),
)


class Killed(BadDiskCase):
    def test_before_any_step_of_a_save_it_goes_on_from_the_newest_commit(self):
        self.run_to("whole", 8)
        for number, (rule, newest) in enumerate(PHASES):
            with self.subTest(rule):
                run = f"run-{number}"
                self.disk(rule)
                self.run_to(run, 8, "checkpoint.every_steps=2", code=137)
                self.assertEqual(self.saved_steps(run)[-1], newest)
                self.disk()
                self.assert_everything_committed_verifies(run)
                out, _ = self.run_to(run, 8, "checkpoint.every_steps=2")
                self.assertIn(f"goes on after step {newest} from ", out)
                self.assertEqual(self.losses(run), self.losses("whole"))
                self.assertEqual(self.saved_steps(run), [6, 8])

    def test_at_the_end_of_a_rebalance_it_goes_on_from_the_newest_commit(self):
        settings = ("placement.every=100", "model.router.forced=W1", "placement.granularity=4",
                    "checkpoint.every_steps=50", "train.global_batch=32", "train.sequence_length=64")
        job = self.start_run(*settings)
        self.wait_until(lambda: self.steps_of() > 0, job)
        self.disk("rename kill run/plan.json")
        code, _, err = self.end_of(job)
        self.assertEqual(code, 137, err)
        self.assertEqual(max(self.last_lines("run")), 100)
        self.assertEqual(self.saved_steps("run"), [50], "the save of step 100 begins after the move")
        self.disk()
        out, _ = self.run_to("run", 210, *settings)
        self.assertIn("goes on after step 50 from ", out)
        self.assertEqual(sorted(self.last_lines("run")), list(range(1, 211)))

    def test_again_and_again_without_a_commit_ends_with_93(self):
        self.disk("rename kill /COMMITTED")
        code, _, err = self.run_command(HETMOE, "launch", "small.yaml", "--ranks", "2", "--run-dir", "run",
                                        "--first-wait", "0.1")
        self.assertEqual(code, 93, err)
        self.assertIn("2 restarts in a row saved no new step", err)
        self.assertEqual(self.saved_steps("run"), [])


if __name__ == "__main__":
    unittest.main()
