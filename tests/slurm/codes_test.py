"""What the batch script makes of codes, files and progress: a program of some lines in place of hetmoe."""

import unittest

from cluster import ENDLESS, SlurmCase


class Scripted(SlurmCase):
    def program(self, *lines):
        path = self.write("program.sh", "\n".join(("#!/bin/sh", "mkdir -p run", *lines)) + "\n")
        path.chmod(0o755)
        return path

    def end_of(self, *lines, launcher="mpirun", **more):
        """Gives (state, exit code, restarts) of a job that runs a program of these lines."""
        job = self.submit(ENDLESS, launcher=launcher, program=self.program(*lines), **more)
        self.await_true(lambda: self.job(job)["JobState"] in ("COMPLETED", "FAILED"), f"the end of job {job}")
        described = self.job(job)
        return job, (described["JobState"], described["ExitCode"].split(":")[0], described["Restarts"])

    def test_two_restarts_in_a_row_without_progress_are_the_last(self):
        job, end = self.end_of("exit 4")
        self.assertEqual(end, ("FAILED", "93", "0"))
        self.assertEqual(self.log(job).count("ended with code 4\n"), 3)
        self.assertEqual((self.folder / "run/do-not-run-again").read_text(),
                         "ended with code 4; 2 restarts in a row saved no new step\n")
        self.assertFalse((self.folder / "run/stalled-restarts").exists())

    def test_restarts_are_counted_over_requeues(self):
        self.write("run/stalled-restarts", "1\n")
        job, end = self.end_of("exit 4")
        self.assertEqual(end, ("FAILED", "93", "0"))
        self.assertEqual(self.log(job).count("ended with code 4\n"), 1)

    def test_restarts_that_make_progress_go_on(self):
        job, end = self.end_of("step=run/checkpoints/step-0000000$(ls run/checkpoints 2>/dev/null | wc -l)",
                               '[ "$PMIX_RANK" = 0 ] || exec sleep 1000',
                               "mkdir -p $step; touch $step/COMMITTED",
                               "case $step in *5) echo '{\"code\": 93}' >run/exit.json; exit 93 ;; esac",
                               "exit 137")
        self.assertEqual(end, ("FAILED", "93", "0"))
        self.assertEqual(self.log(job).count("ended with code 137\n"), 5)

    def test_what_the_ranks_agreed_on_counts_and_not_the_highest_code(self):
        job, end = self.end_of("""echo '{"code": 93, "reason": "hetmoe stop"}' >run/exit.json""", "exit 137", launcher="srun")
        self.assertEqual(end, ("FAILED", "93", "0"))
        self.assertIn(f"in job {job}", (self.folder / "run/do-not-run-again").read_text())

    def test_what_an_earlier_start_left_does_not_count(self):
        self.write("run/exit.json", '{"code": 75}\n')
        job, end = self.end_of("exit 2")
        self.assertEqual(end, ("FAILED", "2", "0"))

    def test_a_launcher_that_ends_with_0_without_a_run_is_a_failure(self):
        job, end = self.end_of("exit 0", launcher="srun")
        self.assertEqual(end, ("FAILED", "93", "0"))
        self.assertIn("srun ended with code 0, but the run did not: no new run/exit.json", self.log(job))
        self.assertFalse((self.folder / "run/finished").exists())

    def test_a_file_of_the_run_that_is_no_record_is_passed_over(self):
        job, end = self.end_of("printf 'code 0\\0{\"code\": \"x' >run/exit.json", "exit 6")
        self.assertEqual(end, ("FAILED", "6", "0"))


if __name__ == "__main__":
    unittest.main()
