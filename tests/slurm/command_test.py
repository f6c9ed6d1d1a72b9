"""Jobs that somebody looks at, stops or cancels."""

import unittest

from cluster import ENDLESS, HETMOE, LAUNCHERS, SlurmCase


class Commanded(SlurmCase):
    def test_status_and_stop_from_another_node_end_the_job_for_good(self):
        job = self.submit(ENDLESS, "checkpoint.every_steps=0")  # nothing is saved but at the stop
        self.await_step(5)
        told = self.read_json("run/coordinator.json")
        self.assertTrue(told["certificate"].startswith("-----BEGIN CERTIFICATE-----"))
        self.assertFalse(told["address"].startswith(("127.", "localhost")), told["address"])
        on_n2 = ("srun", "--nodelist=n2", "--nodes=1", "--ntasks=1")
        out = self.call(*on_n2, HETMOE, "status", "run")
        self.assertRegex(out, r"\brank\b")
        self.call(*on_n2, HETMOE, "stop", "run")

        self.await_state(job, "FAILED")
        self.assertEqual((self.job(job)["Restarts"], self.job(job)["ExitCode"]), ("0", "93:0"))
        self.assertEqual(self.read_json("run/exit.json")["code"], 93)
        self.assertEqual(len(self.saved_steps("run")), 1)
        self.call("scontrol", "requeue", job)
        self.await_true(lambda: "not started, run/do-not-run-again says: " in self.log(job), "the second start's line")
        self.await_state(job, "COMPLETED")
        self.assertEqual(len(self.events("run", "started")), 1)

    def test_a_stop_that_asks_for_it_is_run_again(self):
        job = self.submit(ENDLESS, launcher="srun")
        self.await_step(5)
        self.call(HETMOE, "stop", "run", "--requeue")
        self.await_true(lambda: self.job(job)["Restarts"] == "1", "the requeue")
        self.await_step(self.saved_steps("run")[-1] + 1)

    def test_a_cancelled_job_saves_what_it_can_and_stays_away(self):
        for launcher in LAUNCHERS:
            with self.subTest(launcher):
                run = f"run-{launcher}"
                job = self.submit(ENDLESS, "checkpoint.every_steps=20", launcher=launcher, run=run)
                self.await_step(50, run)
                self.call("scancel", job)
                self.await_state(job, "CANCELLED")
                self.await_true(lambda: not self.ranks(run), "the ranks end")
                self.assert_everything_committed_verifies(run)
                self.assertGreaterEqual(self.saved_steps(run)[-1], 20)
                self.assertEqual(self.job(job)["Restarts"], "0")
                self.assertEqual(list((self.folder / run).glob("*finished")), [])


if __name__ == "__main__":
    unittest.main()
