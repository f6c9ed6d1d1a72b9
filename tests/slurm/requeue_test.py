"""Jobs that end in time: saved, queued again, gone on, and not run once more when they are done."""

import unittest

from cluster import ENDLESS, LAUNCHERS, STEPS, SlurmCase


class Requeued(SlurmCase):
    def assert_done(self, job, restarts, run="run"):
        self.await_state(job, "COMPLETED")
        described = self.job(job)
        self.assertEqual((described["Restarts"], described["ExitCode"]), (str(restarts), "0:0"))
        self.assertEqual(self.read_json(f"{run}/exit.json")["code"], 0)
        self.assertEqual((self.folder / run / "finished").read_text(), f"finished by job {job}\n")
        self.assertFalse((self.folder / run / "do-not-run-again").exists())

    def test_a_finished_job_is_not_run_again(self):
        for launcher in LAUNCHERS:
            with self.subTest(launcher):
                run = f"run-{launcher}"
                job = self.submit(20, launcher=launcher, run=run)
                self.await_state(job, "COMPLETED")
                self.assertEqual(sorted(self.last_lines(run)), list(range(1, 21)))
                self.assertEqual(len(self.events(run, "started")), 1)

                self.call("scontrol", "requeue", job)
                self.await_true(lambda: "not started" in self.log(job), "the second start's line")
                self.await_state(job, "COMPLETED")
                again = self.submit(30, launcher=launcher, run=run)
                self.await_state(again, "COMPLETED")
                said = f"not started, {run}/finished says: finished by job {job}; to go on remove that file and submit again"
                self.assertIn(f"job {job}, start 2: {said}\n", self.log(job))
                self.assertIn(f"job {again}, start 1: {said}\n", self.log(again))
                self.assertEqual(len(self.events(run, "started")), 1)

                (self.folder / run / "finished").unlink()
                self.await_state(self.submit(30, launcher=launcher, run=run), "COMPLETED")
                self.assertEqual(sorted(self.last_lines(run)), list(range(1, 31)))

    def test_a_signal_before_the_end_saves_and_the_job_goes_on_bit_for_bit(self):
        # SIGTERM as Slurm sends it before preemption: to the ranks, to the script and to its process group.
        for launcher, words in (("mpirun", ("--signal=USR1", "--batch")), ("srun", ("--signal=USR1", "--batch")),
                                ("srun", ("--signal=TERM", "--full"))):
            with self.subTest(launcher=launcher, words=words):
                run = f"run-{launcher}-{words[1]}"
                job = self.submit(STEPS, launcher=launcher, run=run)
                self.await_step(20, run)
                self.call("scancel", *words, job)
                self.await_true(lambda: self.job(job)["Restarts"] == "1", "the requeue")
                saved, = self.saved_steps(run)
                self.assertLess(saved, STEPS)
                self.assertEqual(self.events(run, "stopped")[0]["step"], saved)
                self.assertIn(f"requeued, newest committed step: step-{saved:08d}", self.log(job))
                self.assert_done(job, restarts=1, run=run)
                self.assertIn(f"goes on after step {saved} from ", self.log(job))
                self.assert_finished_as_if_uninterrupted(run)

    def test_the_time_limit_itself(self):
        job = self.submit(ENDLESS, options=("--time=1", "--signal=B:USR1@20"))
        self.await_true(lambda: self.job(job)["Restarts"] == "1", "the requeue")
        saved = self.saved_steps("run")[-1]
        self.assertIn("SIGUSR1: the ranks are asked to save and to end", self.log(job))
        self.assert_everything_committed_verifies()
        self.await_step(saved + 5)
        self.assertIn(f"goes on after step {saved} from ", self.log(job))

    def test_a_job_that_a_more_urgent_one_takes_the_nodes_from(self):
        job = self.submit(STEPS, launcher="srun")
        self.await_step(20)
        urgent = self.call("sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null",
                           "--wrap", "true")
        self.await_state(urgent, "COMPLETED")
        self.assertEqual(self.saved_steps("run"), [self.events("run", "stopped")[0]["step"]])
        self.assert_done(job, restarts=1)
        self.assert_finished_as_if_uninterrupted()

    def test_as_often_as_it_may(self):
        job = self.submit(ENDLESS, edits=(("max_requeues=100", "max_requeues=0"),))
        self.await_step(1)
        self.call("scancel", "--signal=USR1", "--batch", job)
        self.await_state(job, "FAILED")
        self.assertEqual((self.job(job)["Restarts"], self.job(job)["ExitCode"]), ("0", "75:0"))
        self.assertIn("not requeued: 0 requeues are used (max_requeues); submit again to go on", self.log(job))


if __name__ == "__main__":
    unittest.main()
