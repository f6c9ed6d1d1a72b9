"""A disk that hangs, that fails to read, that is full: what is saved stays, and people are told."""

import os
import signal
import subprocess
import unittest

from bad_disk import BadDiskCase


class Hanging(BadDiskCase):
    def start_hanging(self, rule, *settings):
        job = self.start_run("checkpoint.every_steps=5", *settings)
        self.wait_until(lambda: self.saved_steps("run"), job)
        self.disk(rule)
        self.wait_until(lambda: self.has_event("save_slow"), job)
        return job

    def assert_ends_with_3_and_goes_on_later(self, rule, rank):
        job = self.start_hanging(rule, "checkpoint.wait_seconds=2")
        code, _, err = self.end_of(job)
        self.assertEqual(code, 3, err)
        self.assertIn(f"(checkpoint.wait_seconds): rank {rank} has not finished its part", err)
        self.assertRegex(err, "into 'run/checkpoints/step-[0-9]+' is not done after 2 s of waiting")
        self.assertEqual(self.read_json("run/exit.json")["code"], 3)
        slow = self.events("run", "save_slow")[0]
        self.assertEqual((slow["slow_rank"], slow["folder"]), (rank, f"run/checkpoints/step-{slow['step']:08}"))
        self.assertEqual(self.events("run", "watchdog"), [])
        newest = self.saved_steps("run")[-1]
        self.disk()
        self.assert_everything_committed_verifies()
        out, _ = self.run_to("run", newest + 2)
        self.assertIn(f"goes on after step {newest} from ", out)

    def test_in_a_ranks_shard_ends_the_job(self):
        self.assert_ends_with_3_and_goes_on_later("fsync hang /shard-00001", rank=1)

    def test_in_the_commit_ends_the_job(self):
        self.assert_ends_with_3_and_goes_on_later("rename hang /manifest.json", rank=0)

    def test_for_a_while_is_told_of_and_waited_for(self):
        job = self.start_hanging("fsync hang /shard-00000", "checkpoint.wait_seconds=30")
        slow = self.events("run", "save_slow")[0]
        self.disk()
        self.wait_until(lambda: slow["step"] in self.saved_steps("run"), job)
        job.send_signal(signal.SIGUSR1)
        code, out, err = self.end_of(job)
        self.assertEqual(code, 75, err)
        self.assertRegex(out, rf"the save of step {slow['step']} into .* rank 0 has not finished its part; training ")


class Unreadable(BadDiskCase):
    def setUp(self):
        super().setUp()
        self.run_to("whole", 14)
        self.run_to("run", 10, "checkpoint.every_steps=4")
        self.assertEqual(self.saved_steps("run"), [8, 10])

    def test_a_checkpoint_is_not_passed_over(self):
        for rule, name in (("pread EIO step-00000010/shard-00001", "shard-00001.safetensors"),
                           ("open EACCES step-00000010/manifest.json", "manifest.json"),
                           ("open ESTALE step-00000010/COMMITTED", "COMMITTED")):
            with self.subTest(rule):
                self.disk(rule)
                _, err = self.run_to("run", 14, code=3)
                self.assertIn("step-00000010/" + name, err)
                self.assertIn(os.strerror({"EIO": 5, "EACCES": 13, "ESTALE": 116}[rule.split()[1]]), err)
                self.assertEqual(self.saved_steps("run"), [8, 10])
                self.assertEqual(self.steps_of(), 10)
        self.disk()
        out, _ = self.run_to("run", 14)
        self.assertIn("goes on after step 10 ", out)
        self.assertEqual(self.losses("run"), self.losses("whole"))

    def test_an_older_one_may_be_asked_for_by_name(self):
        self.disk("pread EIO step-00000010/shard-00001")
        out, _ = self.run_to("run", 14, resume="run/checkpoints/step-00000008")
        self.assertIn("goes on after step 8 ", out)


class Full(BadDiskCase):
    def test_saves_fail_and_training_goes_on_until_there_is_room(self):
        rules = ("write ENOSPC /shard-00001", "write ENOSPC /.manifest.json", "fsync ENOSPC /.COMMITTED")
        for number, rule in enumerate(rules):
            with self.subTest(rule):
                run = f"run-{number}"
                job = self.start_run("checkpoint.every_steps=5", run=run)
                self.wait_until(lambda: self.saved_steps(run), job)
                self.disk(rule)
                self.wait_until(lambda: self.has_event("save_failed", run), job)
                failed = self.events(run, "save_failed")[0]
                self.assertIn(os.strerror(28), failed["reason"])
                self.assert_everything_committed_verifies(run)
                self.disk()
                self.wait_until(lambda: self.saved_steps(run)[-1] > failed["step"], job)
                job.send_signal(signal.SIGUSR1)
                code, out, err = self.end_of(job)
                self.assertEqual(code, 75, err)
                self.assertIn(f"step {failed['step']} is not saved: ", out)

    def mount_small_disk(self, folder, size_bytes):
        folder.mkdir(parents=True, exist_ok=True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "hetmoe-test", folder],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest("no file system can be mounted here: " + mounted.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", folder], check=True)

    def test_a_real_small_file_system(self):
        self.run_to("whole", 12)
        size = sum(file.stat().st_size for file in self.folder.glob("whole/checkpoints/step-00000012/*"))
        self.mount_small_disk(self.folder / "run/checkpoints", 4 * size)
        self.run_to("run", 4, "checkpoint.every_steps=2")
        filler = self.folder / "run/checkpoints/filler"
        filler.write_bytes(bytes(3 * size // 2))
        out, err = self.run_to("run", 8, "checkpoint.every_steps=2", code=3)
        self.assertIn("the last step, which is not saved: ", err)
        self.assertIn("No space left on device", err)
        self.assertEqual([event["step"] for event in self.events("run", "save_failed")], [6, 8])
        self.assertEqual(self.saved_steps("run"), [2, 4])
        self.assertEqual(self.losses("run"), self.losses("whole")[:8])
        self.assert_everything_committed_verifies()
        filler.unlink()
        out, _ = self.run_to("run", 12, "checkpoint.every_steps=2")
        self.assertIn("goes on after step 4 ", out)
        self.assertEqual(self.saved_steps("run"), [10, 12])
        self.assertEqual(self.losses("run"), self.losses("whole"))


if __name__ == "__main__":
    unittest.main()
