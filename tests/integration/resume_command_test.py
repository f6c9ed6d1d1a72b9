"""`hetmoe train --resume`: what a run saves, and that it goes on as if it had not stopped."""

import os
import shutil
import signal
import time
import unittest

from command_line import HETMOE, CommandLineCase, mpirun

STEPS = 14


class ResumeCase(CommandLineCase):
    def run_to(self, run, steps, *settings, ranks=2, resume="auto", code=0):
        words = [word for setting in (f"train.steps={steps}", "train.learning_rate=0.01", *settings)
                 for word in ("--set", setting)]
        got, out, err = self.train("small.yaml", "--run-dir", run, "--resume", resume, *words, ranks=ranks)
        self.assertEqual(got, code, out + err)
        return out, err

    def last_lines(self, run):
        """Of every step the last line that was written: after a restart readers keep that one."""
        return {line["step"]: line for line in self.read_lines(f"{run}/metrics.jsonl") if "loss" in line}

    def losses(self, run):
        lines = self.last_lines(run)
        return [lines[step]["loss"] for step in sorted(lines)]

    def events(self, run, name):
        return [line for line in self.read_lines(f"{run}/events.jsonl") if line["event"] == name]

    def saved_steps(self, run):
        markers = self.folder.glob(f"{run}/checkpoints/step-????????/COMMITTED")
        return sorted(int(marker.parent.name[5:]) for marker in markers)


class GoesOn(ResumeCase):
    def setUp(self):
        super().setUp()
        self.run_to("whole", STEPS)

    def test_bit_for_bit_on_as_many_ranks(self):
        self.run_to("cut", 5)
        out, _ = self.run_to("cut", STEPS)
        self.assertIn("goes on after step 5 from ", out)
        self.assertEqual(self.losses("cut"), self.losses("whole"))
        lines = self.last_lines("cut")
        self.assertEqual([lines[step]["generation"] for step in (1, 5, 6, STEPS)], [1, 1, 2, 2])
        self.assertEqual(self.saved_steps("cut"), [5, STEPS])
        self.assertEqual([event["step"] for event in self.events("cut", "save_committed")], [5, STEPS])

    def test_bit_for_bit_with_hypermoe_in_bf16(self):
        settings = ("model.hyper.enabled=true", "model.hyper.rank=4", "model.hyper.hidden=8", "train.precision=bf16")
        self.run_to("hyper", STEPS, *settings)
        self.run_to("cut", 6, *settings)
        self.run_to("cut", STEPS, *settings)
        self.assertEqual(self.losses("cut"), self.losses("hyper"))

    def test_on_other_numbers_of_ranks_and_groups(self):
        self.run_to("cut", 4, ranks=3)
        self.run_to("cut", 7, ranks=1)
        self.run_to("cut", 10, "parallel.expert_group_size=1", ranks=2)
        self.run_to("cut", STEPS, ranks=4)
        whole = self.losses("whole")
        for one, other in zip(self.losses("cut"), whole, strict=True):
            self.assertAlmostEqual(one, other, delta=1e-5 * other)

    def test_from_a_checkpoint_of_another_run(self):
        self.run_to("first", 5)
        self.run_to("second", STEPS, resume="first/checkpoints/step-00000005")
        self.assertEqual(self.losses("second"), self.losses("whole")[5:])
        self.run_to("third", STEPS, resume="first")
        self.assertEqual(self.losses("third"), self.losses("whole")[5:])

    def test_a_finished_run_has_nothing_left_to_do(self):
        before = self.losses("whole")
        out, _ = self.run_to("whole", STEPS)
        self.assertIn(f"nothing left to do: train.steps is {STEPS}\n", out)
        self.assertEqual(self.losses("whole"), before)

    def test_passes_over_what_is_damaged_and_says_why(self):
        self.run_to("cut", 10, "checkpoint.every_steps=4")
        self.assertEqual(self.saved_steps("cut"), [8, 10])
        damaged = sorted(self.folder.glob("cut/checkpoints/step-00000010/*.safetensors"))[-1]
        content = bytearray(damaged.read_bytes())
        content[-3] ^= 4
        damaged.write_bytes(content)
        out, _ = self.run_to("cut", STEPS)
        self.assertIn("passed over: ", out)
        self.assertIn(damaged.name, out)
        self.assertIn("goes on after step 8 ", out)
        self.assertEqual(self.losses("cut"), self.losses("whole"))
        self.assertEqual(self.saved_steps("cut"), [8, STEPS])
        self.assertTrue((self.folder / "cut/checkpoints/step-00000010.set-aside-2" / damaged.name).exists())

    def test_back_to_an_earlier_step_of_the_same_run(self):
        self.run_to("cut", 10, "checkpoint.every_steps=5", "train.learning_rate=0.5")
        self.assertEqual(self.saved_steps("cut"), [5, 10])
        self.run_to("back", 5)
        shutil.rmtree(self.folder / "cut/checkpoints/step-00000005")
        shutil.copytree(self.folder / "back/checkpoints/step-00000005", self.folder / "cut/checkpoints/step-00000005")
        out, _ = self.run_to("cut", 10, resume="cut/checkpoints/step-00000005")
        self.assertIn("checkpoint of step 10 is set aside as step-00000010.set-aside-2", out)
        self.run_to("cut", STEPS)
        self.assertEqual(self.losses("cut")[5:], self.losses("whole")[5:])

    def test_never_begins_anew_where_nothing_verifies(self):
        self.run_to("cut", 4)
        for file in self.folder.glob("cut/checkpoints/*/*.safetensors"):
            os.truncate(file, 100)
        _, err = self.run_to("cut", STEPS, code=3)
        self.assertIn("no checkpoint in 'cut/checkpoints' can be used: ", err)
        self.assertEqual(self.saved_steps("cut"), [4])

    def test_never_begins_anew_where_checkpoints_have_gone(self):
        self.run_to("cut", 4)
        (self.folder / "cut/checkpoints").rename(self.folder / "away")
        _, err = self.run_to("cut", STEPS, code=3)
        self.assertIn("holds none of the checkpoints that events.jsonl says were saved (1)", err)
        (self.folder / "away").rename(self.folder / "cut/checkpoints")
        self.run_to("cut", STEPS)
        self.assertEqual(self.losses("cut"), self.losses("whole"))

    def test_goes_on_from_the_one_before_where_the_newest_has_gone(self):
        self.run_to("cut", 6, "checkpoint.every_steps=3")
        shutil.rmtree(self.folder / "cut/checkpoints/step-00000006")
        out, _ = self.run_to("cut", STEPS)
        self.assertIn("goes on after step 3 ", out)
        self.assertEqual(self.losses("cut"), self.losses("whole"))

    def test_an_unfinished_save_does_not_exist(self):
        self.run_to("cut", 6, "checkpoint.every_steps=3")
        (self.folder / "cut/checkpoints/step-00000006/COMMITTED").unlink()
        out, _ = self.run_to("cut", STEPS)
        self.assertIn("goes on after step 3 ", out)
        self.assertEqual(self.losses("cut"), self.losses("whole"))


class Stopped(ResumeCase):
    def start_long_run(self):
        command = [HETMOE, "train", "small.yaml", "--run-dir", "run", "--set", "train.steps=100000",
                   "--set", "train.learning_rate=0.01", "--set", "checkpoint.every_steps=2"]
        process = self.start(*mpirun(2, *command))
        while not list(self.folder.glob("run/checkpoints/*/COMMITTED")):
            self.assertIsNone(process.poll())
            time.sleep(0.05)
        return process

    def stop(self, sent, times=1):
        process = self.start_long_run()
        for _ in range(times):
            process.send_signal(sent)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def test_by_kill_9_gives_its_folder_to_the_next_at_once_but_not_while_it_lives(self):
        living = self.start_long_run()
        _, err = self.run_to("run", 6, code=3)
        self.assertIn("run directory 'run' is in use by process ", err)
        self.assertIsNone(living.poll())
        os.killpg(living.pid, signal.SIGKILL)  # mpirun; its ranks end with it
        living.communicate(timeout=60)
        out, _ = self.run_to("run", 100000, "train.steps=1", ranks=1)
        self.assertIn("that process is gone", out)
        self.assertIn("goes on after step ", out)

    def test_by_sigusr1_saves_and_asks_to_be_run_again(self):
        code, _, err = self.stop(signal.SIGUSR1, times=2)
        self.assertEqual(code, 75, err)
        self.assertIn("stopped after step ", err)
        self.assertEqual(self.read_json("run/exit.json")["code"], 75)
        step = self.events("run", "stopped")[0]["step"]
        self.assertEqual(self.saved_steps("run")[-1], step)
        self.run_to("run", step + 2)
        self.assertEqual(sorted(self.last_lines("run")), list(range(1, step + 3)))


class Refused(ResumeCase):
    def test_a_configuration_that_is_another_model(self):
        self.run_to("run", 3)
        _, err = self.run_to("run", 6, "model.hidden_size=16", "train.seed=2", code=2)
        self.assertIn("model.hidden_size: 32 in the checkpoint, 16 here", err)
        self.assertIn("train.seed", err)
        self.assertEqual(self.saved_steps("run"), [3])
        self.run_to("run", 6, "train.warmup_steps=2", "checkpoint.keep=3", "placement.strategy=whole")

    def test_to_begin_anew_in_a_used_folder(self):
        self.run_to("run", 3)
        _, err = self.run_to("run", 3, resume="never", code=3)
        self.assertIn("run", err)

    def test_a_path_without_a_checkpoint(self):
        _, err = self.run_to("run", 3, resume="nowhere", code=3)
        self.assertIn("nowhere", err)


class Failing(ResumeCase):
    def test_a_step_that_somebody_else_has_committed_is_left_alone(self):
        self.run_to("other", 4)
        self.run_to("run", 2)
        process = self.start(*mpirun(1, HETMOE, "train", "small.yaml", "--run-dir", "run", "--set", "train.steps=40000",
                                     "--set", "checkpoint.every_steps=3000", "--set", "train.learning_rate=0.01"))
        while (self.folder / "run/metrics.jsonl").read_bytes().count(b"\n") < 3:
            time.sleep(0.01)
        theirs = self.folder / "run/checkpoints/step-00003000"
        shutil.copytree(self.folder / "other/checkpoints/step-00000004", theirs)
        while not self.events("run", "save_failed"):
            self.assertIsNone(process.poll())
            time.sleep(0.05)
        self.assertTrue((theirs / "COMMITTED").exists())
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=60)

    def test_a_save_that_fails_is_named_and_training_goes_on(self):
        self.run_to("run", 2)
        # A file where the folder of step 4 has to go.
        (self.folder / "run/checkpoints/step-00000004").write_text("in the way")
        out, _ = self.run_to("run", 6, "checkpoint.every_steps=4")
        self.assertIn("step 4 is not saved: ", out)
        self.assertEqual([event["step"] for event in self.events("run", "save_failed")], [4])
        self.assertEqual(self.saved_steps("run"), [2, 6])

    def test_a_last_step_that_is_not_saved_ends_with_code_3(self):
        self.run_to("run", 2)
        shutil.copytree(self.folder / "run", self.folder / "copy")
        (self.folder / "run/checkpoints/step-00000004").write_text("in the way")
        _, err = self.run_to("run", 4, code=3)
        self.assertIn("the last step, which is not saved", err)
        self.assertEqual(self.saved_steps("run"), [2])


if __name__ == "__main__":
    unittest.main()
