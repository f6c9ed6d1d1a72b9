"""Ranks and nodes that die under a job, and a fault that would come again."""

import os
import signal
import unittest

from cluster import ENDLESS, LAUNCHERS, STEPS, SlurmCase, one_machine


class Failing(SlurmCase):
    def lose(self, node):
        lost = one_machine("lose", self.slurm, node)
        self.assertEqual(lost.returncode, 0, lost.stderr)
        self.addCleanup(self.await_true, self.nodes_are_idle, "both nodes idle")
        self.addCleanup(one_machine, "bring", self.slurm, node)

    def nodes_are_idle(self):
        return self.call("sinfo", "--noheader", "--Node", "--partition=all", "--format=%t").split() == ["idle", "idle"]

    def test_a_killed_rank_is_started_again_in_the_same_job(self):
        for launcher in LAUNCHERS:
            with self.subTest(launcher):
                run = f"run-{launcher}"
                job = self.submit(STEPS, "checkpoint.every_steps=50", launcher=launcher, run=run)
                self.await_true(lambda: self.saved_steps(run), "a save")
                os.kill(self.ranks(run)[1], signal.SIGKILL)
                self.await_state(job, "COMPLETED")
                self.assertIn("all nodes answer: starting again from step-000", self.log(job))
                self.assertEqual(self.job(job)["Restarts"], "0")
                self.assertEqual(len(self.events(run, "started")), 2)
                self.assert_finished_as_if_uninterrupted(run)

    def test_a_lost_node_is_waited_for(self):
        job = self.submit(STEPS, "checkpoint.every_steps=50")
        self.await_true(lambda: self.saved_steps("run"), "a save")
        self.lose("n2")
        self.await_true(lambda: self.job(job)["Restarts"] == "1", "the requeue")
        self.await_true(lambda: "down" in self.call("sinfo", "--noheader", "--nodes=n2", "--format=%t"), "n2 down")
        self.assertEqual(self.job(job)["JobState"], "PENDING")
        self.assertNotIn("all nodes answer", self.log(job))
        one_machine("bring", self.slurm, "n2")
        self.await_state(job, "COMPLETED")
        self.assertEqual(len(self.events("run", "started")), 2)
        self.assert_finished_as_if_uninterrupted()

    def test_the_node_of_the_script_itself_under_srun(self):
        job = self.submit(STEPS, "checkpoint.every_steps=50", launcher="srun")
        self.await_true(lambda: self.saved_steps("run"), "a save")
        self.lose("n1")
        self.await_true(lambda: self.job(job)["Restarts"] == "1", "the requeue")
        one_machine("bring", self.slurm, "n1")
        # What the dead step left on n1 makes srun fail to launch there, and end with 0.
        self.await_state(job, "COMPLETED")
        self.assertGreaterEqual(len(self.events("run", "started")), 2)
        self.assert_finished_as_if_uninterrupted()

    def test_a_fault_of_the_configuration_is_not_tried_again(self):
        job = self.submit(ENDLESS, "model.top_quarks=3", launcher="srun")
        self.await_state(job, "FAILED")
        self.assertEqual((self.job(job)["Restarts"], self.job(job)["ExitCode"]), ("0", "2:0"))
        self.assertIn("top_quarks", self.log(job))
        self.assertEqual(list(self.folder.glob("run/do-not-run-again")), [])


if __name__ == "__main__":
    unittest.main()
