"""`hetmoe launch`: what it starts, when it starts it again, how it ends; with a scripted mpirun and the real one."""

import json
import os
import pathlib
import re
import shlex
import signal
import sys
import time
import unittest

from command_line import HETMOE, CommandLineCase

FAKE = pathlib.Path(__file__).resolve().parent / "fake_mpirun.py"


class ScriptedCase(CommandLineCase):
    """The first mpirun in PATH is tests/integration/fake_mpirun.py."""

    def setUp(self):
        super().setUp()
        self.write_program("mpirun", FAKE.read_text())
        for name in [name for name in self.environment if name.startswith(("OMPI_", "SLURM_"))]:
            del self.environment[name]
        self.environment["PATH"] = f"{self.folder}/bin:{os.environ['PATH']}"

    def write_program(self, name, text):
        self.write(f"bin/{name}", f"#!{sys.executable} -B\n{text}").chmod(0o755)

    def plan(self, *entries):
        self.write("bin/plan.json", json.dumps(entries))

    def command(self, *arguments):
        return [HETMOE, "launch", "small.yaml", "--ranks", "2", "--run-dir", "run", "--first-wait", "0.01", *arguments]

    def launch(self, *arguments):
        return self.run_command(*self.command(*arguments))

    def calls(self):
        return self.read_lines("bin/calls.jsonl") if (self.folder / "bin/calls.jsonl").exists() else []

    def words_of_calls(self):
        return [call["words"] for call in self.calls()]

    def signals(self):
        path = self.folder / "bin/signals"
        return path.read_text().split() if path.exists() else []

    def assert_comes(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited for nothing")
            time.sleep(0.01)


class Codes(ScriptedCase):
    def test_codes_that_would_come_again_are_handed_on_at_once(self):
        for attempt, code in enumerate((0, 2, 3, 6, 75, 93)):
            with self.subTest(code):
                self.plan({"exit": code})
                self.assertEqual(self.launch()[0], code)
                self.assertEqual(len(self.calls()), attempt + 1)

    def test_success_at_once_is_silent(self):
        self.plan({})
        self.assertEqual(self.launch(), (0, "", ""))

    def test_a_killed_rank_gives_4_here_and_in_exit_json(self):
        self.plan({"exit": 137})
        code, _, err = self.launch("--max-restarts", "0")
        self.assertEqual(code, 4, err)
        left = self.read_json("run/exit.json")
        self.assertEqual(left["code"], 4)
        self.assertIn("a rank was killed by signal 9", left["reason"])

    def test_a_killed_mpirun_gives_4(self):
        self.plan({"die": signal.SIGKILL})
        code, _, err = self.launch("--max-restarts", "0")
        self.assertEqual(code, 4)
        self.assertIn("mpirun was killed by signal 9", err)

    def test_exit_json_of_this_attempt_counts_more_than_mpirun(self):
        self.plan({"exit": 137, "record": {"code": 6, "reason": "step 7 is not finite"}})
        code, _, err = self.launch()
        self.assertEqual(code, 6)
        self.assertIn("step 7 is not finite", err)
        self.assertEqual(self.read_json("run/exit.json")["reason"], "step 7 is not finite")

    def test_exit_json_of_an_earlier_run_does_not(self):
        self.write("run/exit.json", '{"code": 6, "reason": "old"}')
        self.plan({"exit": 137}, {})
        code, _, err = self.launch()
        self.assertEqual((code, len(self.calls())), (0, 2))
        self.assertNotIn("old", err)

    def test_requeue_makes_a_stop_from_outside_run_again(self):
        self.plan({"exit": 93, "record": {"code": 93, "reason": "hetmoe stop"}})
        self.assertEqual(self.launch()[0], 93)
        self.assertEqual(self.launch("--requeue")[0], 75)
        self.assertEqual(self.read_json("run/exit.json")["code"], 75)

    def test_requeue_leaves_a_crash_loop_alone(self):
        self.plan({"exit": 137})
        self.assertEqual(self.launch("--requeue")[0], 93)


class Restarts(ScriptedCase):
    def test_continue_the_same_run_until_it_is_done(self):
        self.plan({"exit": 137, "commit": 5}, {"exit": 1, "commit": 9}, {})
        code, _, err = self.launch("--set", "train.steps=4")
        self.assertEqual(code, 0, err)
        calls = self.calls()
        self.assertEqual(len(calls), 3)
        self.assertEqual(len({tuple(call["words"]) for call in calls}), 1)
        self.assertEqual(calls[0]["words"][-6:], ["train", "small.yaml", "--run-dir", "run", "--set", "train.steps=4"])
        self.assertEqual(len({call["environment"]["HETMOE_LAUNCH_ID"] for call in calls}), 1)
        self.assertIn("attempt 1 ended with code 4: a rank was killed by signal 9", err)
        self.assertIn("restart 1 of 10 in 0.01 s, from step 5", err)
        self.assertIn("restart 2 of 10 in 0.01 s, from step 9", err)

    def test_stop_with_93_after_two_that_saved_nothing(self):
        self.plan({"exit": 137, "commit": 5}, {"exit": 137})
        code, _, err = self.launch()
        self.assertEqual((code, len(self.calls())), (93, 3), err)
        self.assertIn("2 restarts in a row saved no new step", err)
        self.assertEqual(self.read_json("run/exit.json")["code"], 93)

    def test_take_no_uncommitted_step_for_progress(self):
        (self.folder / "run/checkpoints/step-00000007").mkdir(parents=True)
        self.plan({"exit": 137})
        code, _, err = self.launch()
        self.assertEqual((code, len(self.calls())), (93, 3))
        self.assertIn("from the start", err)

    def test_wait_twice_as_long_each_time(self):
        self.plan({"exit": 137})
        code, _, err = self.launch("--max-restarts", "4", "--max-stalled-restarts", "9")
        self.assertEqual((code, len(self.calls())), (4, 5))
        self.assertEqual(re.findall(r"of 4 in ([0-9.]+) s", err), ["0.01", "0.02", "0.04", "0.08"])
        self.assertIn("all 4 restarts are used", err)

    def test_say_in_the_events_what_was_lost(self):
        self.plan({"exit": 137, "write": {"events.jsonl": '{"event": "started"}\n',
                                          "metrics.jsonl": '{"step": 6, "generation": 1}\n'}}, {})
        self.assertEqual(self.launch()[0], 0)
        event = self.read_lines("run/events.jsonl")[1]
        self.assertEqual((event["event"], event["step"], event["code"]), ("rank_lost", 6, 4))

    def test_use_one_new_run_directory(self):
        self.plan({"exit": 137}, {})
        code, _, err = self.run_command(HETMOE, "launch", "small.yaml", "--ranks", "1", "--first-wait", "0")
        self.assertEqual(code, 0, err)
        folders = [words[words.index("--run-dir") + 1] for words in self.words_of_calls()]
        self.assertEqual(len(folders), 2)
        self.assertEqual(*folders)
        self.assertRegex(folders[0], r"^runs/small-\d{8}-\d{6}-[0-9a-f]{4}$")
        self.assertEqual([str(path.relative_to(self.folder)) for path in self.folder.glob("runs/*")], folders[:1])

    def test_continue_what_was_to_start_anew_or_elsewhere(self):
        for resume, expected in (("never", ["never", "auto", "auto"]), ("other", ["other", "other", "auto"])):
            with self.subTest(resume):
                before = len(self.calls())
                self.plan(*[{}] * before, {"exit": 137}, {"exit": 137, "commit": 4}, {})
                code, _, err = self.run_command(HETMOE, "launch", "small.yaml", "--ranks", "2", "--first-wait", "0",
                                                "--run-dir", f"run-{resume}", "--resume", resume)
                self.assertEqual(code, 0, err)
                words = self.words_of_calls()[before:]
                self.assertEqual([call[call.index("--resume") + 1] for call in words], expected)


class Signals(ScriptedCase):
    def start_waiting(self, *arguments, **entry):
        self.plan(entry)
        process = self.start(*self.command(*arguments))
        self.assert_comes(self.calls)
        return process

    def end_of(self, process):
        _, err = process.communicate(timeout=20)
        return process.returncode, err

    def test_the_first_asks_the_ranks_to_save(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                (self.folder / "bin/calls.jsonl").unlink(missing_ok=True)
                (self.folder / "bin/signals").unlink(missing_ok=True)
                process = self.start_waiting(**{"await": 1, "exit": 75})
                os.kill(process.pid, number)
                self.assertEqual(self.end_of(process)[0], 75)
                self.assertEqual(self.signals(), ["SIGUSR1"])

    def test_the_second_ends_them(self):
        process = self.start_waiting(**{"await": 2, "exit": 1, "commit": 3})
        os.kill(process.pid, signal.SIGINT)
        self.assert_comes(self.signals)
        os.kill(process.pid, signal.SIGINT)
        code, err = self.end_of(process)
        self.assertEqual(self.signals(), ["SIGUSR1", "SIGTERM"])
        self.assertEqual((code, len(self.calls())), (75, 1), err)
        self.assertIn("step 3 is saved", self.read_json("run/exit.json")["reason"])

    def test_the_third_kills_them(self):
        process = self.start_waiting(**{"await": 9})
        for sent in (1, 2, 3):
            os.kill(process.pid, signal.SIGTERM)
            self.assert_comes(lambda: len(self.signals()) == sent or sent == 3)
        self.assertEqual(self.end_of(process)[0], 4)

    def test_usr1_is_passed_on_each_time(self):
        process = self.start_waiting(**{"await": 2, "exit": 75})
        for sent in (1, 2):
            os.kill(process.pid, signal.SIGUSR1)
            self.assert_comes(lambda: len(self.signals()) >= sent)
        self.assertEqual(self.end_of(process)[0], 75)
        self.assertEqual(self.signals(), ["SIGUSR1", "SIGUSR1"])

    def test_nothing_is_restarted_after_one(self):
        process = self.start_waiting(**{"await": 1, "exit": 137})
        os.kill(process.pid, signal.SIGUSR1)
        code, err = self.end_of(process)
        self.assertEqual((code, len(self.calls())), (4, 1))
        self.assertIn("stopped before a step was saved", err)

    def test_one_during_the_wait_for_a_restart_ends_it(self):
        self.plan({"exit": 137, "commit": 8})
        process = self.start(HETMOE, "launch", "small.yaml", "--ranks", "2", "--run-dir", "run", "--first-wait", "60")
        self.assert_comes(lambda: (self.folder / "bin/calls.jsonl").exists())
        self.assertIn("attempt 1 ended", process.stderr.readline())
        self.assertIn("in 60 s, from step 8", process.stderr.readline())
        os.kill(process.pid, signal.SIGTERM)
        self.assertEqual(self.end_of(process)[0], 75)
        self.assertEqual(len(self.calls()), 1)

    def test_a_terminals_ctrl_c_reaches_the_launcher_alone(self):
        process = self.start_waiting(**{"await": 1, "exit": 75})
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(self.end_of(process)[0], 75)
        self.assertEqual(self.signals(), ["SIGUSR1"])

    def test_a_killed_launcher_takes_mpirun_along(self):
        process = self.start_waiting(**{"await": 1})
        process.kill()
        process.wait()
        self.assert_comes(lambda: self.signals() == ["SIGTERM"])


class Line(ScriptedCase):
    ARGUMENTS = ("--set", "model.experts.widths=[32, 32, 16, 48]", "--mpirun-option=--mca",
                 "--mpirun-option=orte_base_help_aggregate", "--mpirun-option=0")

    def test_a_dry_run_prints_what_would_be_started(self):
        code, out, err = self.launch("--dry-run", *self.ARGUMENTS)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual((self.calls(), out.count("\n")), ([], 1))
        self.assertFalse((self.folder / "run").exists())
        self.plan({})
        self.assertEqual(self.run_command("sh", "-c", out)[0], 0)
        self.assertEqual(self.launch(*self.ARGUMENTS)[0], 0)
        printed, started = self.calls()
        self.assertEqual(printed["words"], started["words"])
        identities = [call["environment"].pop("HETMOE_LAUNCH_ID") for call in (printed, started)]
        self.assertEqual(printed["environment"], started["environment"])
        self.assertNotEqual(*identities)
        self.assertTrue(started["group"])

    def test_words_for_mpirun_come_before_the_program(self):
        words = shlex.split(self.launch("--dry-run", *self.ARGUMENTS)[1])
        program = words.index(str(HETMOE.resolve()))
        self.assertEqual(words[program - 5:program], ["--mca", "orte_base_help_aggregate", "0", "-np", "2"])
        self.assertEqual(words[program + 1:], ["train", "small.yaml", "--run-dir", "run", "--set", self.ARGUMENTS[1]])

    def test_root_is_allowed_when_it_is_root(self):
        line = self.launch("--dry-run")[1]
        self.assertEqual("OMPI_ALLOW_RUN_AS_ROOT=1" in line, os.geteuid() == 0)


class Shrinking(ScriptedCase):
    """A fake ssh says which hosts answer."""

    def setUp(self):
        super().setUp()
        self.write("hosts", "east slots=2\nwest slots=1\n")
        self.write_program("ssh", "import pathlib, sys\nhere = pathlib.Path(__file__).parent\n"
                                  "open(here / 'asked', 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
                                  "sys.exit(0 if sys.argv[-2] in (here / 'up').read_text().split() else 255)\n")

    def shapes(self, up):
        """Rank counts and hosts (after "-x ID --bind-to none") of two attempts, the hosts in `up` answering in between."""
        self.write("bin/up", up)
        self.plan({"exit": 137}, {})
        code, _, err = self.launch("--ranks", "3", "--hostfile", "hosts", "--shrink")
        self.assertEqual(code, 0, err)
        return [(words[words.index("-np") + 1], words[4:6]) for words in self.words_of_calls()]

    def command(self, *arguments):
        return [HETMOE, "launch", "small.yaml", "--run-dir", "run", "--first-wait", "0", *arguments]

    def test_leaves_out_a_host_that_does_not_answer_with_its_ranks(self):
        self.assertEqual(self.shapes("east"), [("3", ["--hostfile", "hosts"]), ("2", ["--host", "east:2"])])
        asked = (self.folder / "bin/asked").read_text().splitlines()
        self.assertEqual(sorted(asked), [f"-n -o BatchMode=yes -o ConnectTimeout=5 {host} true"
                                         for host in ("east", "west")])

    def test_keeps_all_ranks_when_all_answer(self):
        self.assertEqual(self.shapes("west east"), [("3", ["--hostfile", "hosts"])] * 2)

    def test_keeps_all_hosts_when_none_answers(self):
        self.assertEqual(self.shapes(""), [("3", ["--hostfile", "hosts"])] * 2)

    def test_takes_a_host_back_that_answers_again(self):
        self.write("bin/up", "east")
        self.plan({"exit": 137}, {"await": 1, "exit": 137})
        process = self.start(*self.command("--ranks", "3", "--hostfile", "hosts", "--shrink"))
        self.assert_comes(lambda: len(self.calls()) == 2)
        self.write("bin/up", "east west")
        self.plan({})
        os.kill(self.calls()[1]["pid"], signal.SIGUSR1)
        self.assertEqual(process.wait(timeout=20), 0)
        counts = [words[words.index("-np") + 1] for words in self.words_of_calls()]
        self.assertEqual(counts, ["3", "2", "3"])


class Refusals(ScriptedCase):
    def assert_refused(self, outcome, *texts):
        code, _, err = outcome
        self.assertEqual((code, self.calls()), (2, []), err)
        for text in texts:
            self.assertIn(text, err)

    def test_a_faulty_configuration_before_anything_is_started(self):
        self.assert_refused(self.launch("--set", "train.stepz=1"), "train.stepz")

    def test_no_mpirun(self):
        self.environment["PATH"] = str(self.folder)
        self.assert_refused(self.launch(), "cannot start 'mpirun'", "PATH")

    def test_hosts_that_cannot_be_used(self):
        self.write("hosts", "east\n")
        self.assert_refused(self.launch("--hostfile", "none"), "none")
        self.assert_refused(self.launch("--shrink"), "--hostfile")
        self.assert_refused(self.launch("--shrink", "--hostfile", "hosts", "--rankfile", "hosts"), "--rankfile")
        self.assert_refused(self.launch("--shrink", "--hostfile", "hosts"), "hosts:1: 'east'", "slots=N")

    def test_numbers_out_of_range(self):
        for option, value in (("--max-restarts", "-1"), ("--max-stalled-restarts", "0"), ("--first-wait", "61")):
            command = [HETMOE, "launch", "small.yaml", "--ranks", "2", option, value]
            self.assert_refused(self.run_command(*command), option)
        self.assert_refused(self.run_command(HETMOE, "launch", "small.yaml", "--ranks", "0"), "--ranks")
        self.assert_refused(self.run_command(HETMOE, "launch", "small.yaml"), "--ranks")

    def test_a_launch_under_mpirun(self):
        self.environment["OMPI_COMM_WORLD_SIZE"] = "2"
        self.assert_refused(self.launch(), "hetmoe launch starts mpirun itself")


class Real(CommandLineCase):
    """The real mpirun."""

    def test_trains_on_two_ranks(self):
        code, out, err = self.run_command(HETMOE, "launch", "small.yaml", "--ranks", "2", "--run-dir", "run")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("done: 3 steps", out)
        self.assertEqual(self.read_json("run/exit.json")["code"], 0)
        self.assertTrue((self.folder / "run/logs/rank-1.log").exists())

    def test_a_killed_rank_ends_with_4(self):
        process = self.start(HETMOE, "launch", "small.yaml", "--ranks", "2", "--run-dir", "run", "--max-restarts",
                             "0", "--set", "train.steps=10000000")
        log = self.folder / "run/logs/rank-1.log"
        metrics = self.folder / "run/metrics.jsonl"
        deadline = time.monotonic() + 30
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 3):
            self.assertIsNone(process.poll(), "ended by itself")
            self.assertLess(time.monotonic(), deadline, "no three steps in 30 s")
            time.sleep(0.05)
        rank = int(re.search(r"process (\d+)", log.read_text())[1])
        os.kill(rank, signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 4, err)
        self.assertEqual(self.read_json("run/exit.json")["code"], 4)

    def test_a_fault_of_the_data_is_not_tried_again(self):
        code, _, err = self.run_command(HETMOE, "launch", "small.yaml", "--ranks", "2", "--run-dir", "run", "--set",
                                        "data.train=nothing/here")
        self.assertEqual(code, 3, err)
        self.assertNotIn("restart", err)


if __name__ == "__main__":
    unittest.main()
