"""`hetmoe status`, `save`, `stop` and `rebalance` as a person types them."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import time
import unittest

from command_line import DEADLINE_SECONDS, HETMOE, mpirun
from coordinator_case import CoordinatorCase, free_port


class Away(CoordinatorCase):
    """Nobody answers: what the run's files tell is shown."""

    def setUp(self):
        super().setUp()
        steps = [{"step": step, "generation": 1, "loss": 5 - step / 10, "tokens_per_second": 2000.0,
                  "step_seconds": 0.25} for step in range(1, 9)]
        self.write("run/metrics.jsonl", "".join(json.dumps(step) + "\n" for step in steps) + '{"step": 9, "lo')
        self.event = {"time": "2026-11-22T04:10:17.250Z", "generation": 1, "step": 5, "rank": 0,
                      "event": "save_committed", "bytes": 77}
        self.write("run/events.jsonl", json.dumps(self.event) + "\n")
        self.steps = steps

    def test_the_last_lines_are_shown_and_it_is_said(self):
        credentials = {"address": f"127.0.0.1:{free_port()}", "token": "a" * 64, "certificate": "", "server_name": "",
                       "client_certificate_file": "", "client_key_file": ""}
        self.write("run/coordinator.json", json.dumps(credentials)).chmod(0o600)
        out, err = self.ask("status", "run", code=5)
        self.assertEqual(out.splitlines(), ["metrics.jsonl:"] + [
            f"  step {step}, loss {5 - step / 10:.4f}, 2.00 k tokens/s, 250 ms a step" for step in range(4, 9)
        ] + ["events.jsonl:", "  2026-11-22T04:10:17.250Z step 5 save_committed bytes=77"])
        self.assertIn(credentials["address"], err)
        self.assertIn("from metrics.jsonl and events.jsonl in 'run'", err)
        _, err = self.ask("save", "run", code=5)
        self.assertIn(credentials["address"], err)

    def test_as_one_document(self):
        out, _ = self.ask("status", "run", "--json", code=5)
        self.assertEqual(json.loads(out), {"reachable": False, "metrics": self.steps[3:], "events": [self.event],
                                           "exit": None})

    def test_an_ended_run_needs_no_coordinator(self):
        self.write("run/exit.json", json.dumps({"code": 93, "reason": "stopped by a command"}))
        out, err = self.ask("status", "run")
        self.assertEqual((out.splitlines()[0], err), ("ended with code 93: stopped by a command", ""))
        self.assertIn("step 8, loss", out)
        found = self.status()
        self.assertIs(found["reachable"], False)
        self.assertEqual(found["exit"], {"code": 93, "reason": "stopped by a command"})
        self.assertEqual(len(self.ask("status", "run", "--json", "--watch")[0].splitlines()), 1)
        self.ask("stop", "run", code=5)

    def test_an_empty_folder_holds_nothing_to_show(self):
        (self.folder / "empty").mkdir()
        out, err = self.ask("status", "empty", code=5)
        self.assertEqual(out, "")
        self.assertIn("'empty' holds no metrics.jsonl", err)


class Watched(CoordinatorCase):
    def test_json_is_a_document_per_line_through_a_restart(self):
        coordinator, _, _ = self.coordinator()
        watch = self.start(HETMOE, "status", "run", "--json", "--watch=0.2")

        def read_until(reachable):
            for line in watch.stdout:
                if json.loads(line)["reachable"] is reachable:
                    return
            self.fail(watch.stderr.read())

        read_until(True)
        self.end(coordinator, signal.SIGTERM)
        read_until(False)
        self.coordinator()
        read_until(True)
        read_until(True)
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=DEADLINE_SECONDS)
        self.assertEqual(len(err.splitlines()), 1, err)

    def test_the_end_of_the_run_ends_it(self):
        self.coordinator()
        watch = self.start(HETMOE, "status", "run", "--watch=0.2")
        self.assertIn("nobody has joined yet", watch.stdout.readline())
        self.write("run/exit.json", json.dumps({"code": 0, "reason": "finished"}))
        out, err = watch.communicate(timeout=DEADLINE_SECONDS)
        self.assertEqual((watch.returncode, err), (0, ""))
        self.assertIn("ended with code 0: finished", out)

    def test_it_ends_when_nobody_reads(self):
        self.coordinator()
        watch = self.start(HETMOE, "status", "run", "--watch=0.2")
        watch.stdout.readline()
        watch.stdout.close()
        self.await_true(lambda: watch.poll() is not None)
        self.assertIn(watch.returncode, (0, -signal.SIGPIPE))

    def test_on_a_terminal_it_is_redrawn_in_place(self):
        self.coordinator()
        mine, its = pty.openpty()
        self.addCleanup(os.close, mine)
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        watch = subprocess.Popen([HETMOE, "status", "run", "--watch=0.2"], cwd=self.folder, stdout=its,
                                 env={**self.environment, "TERM": "xterm"}, stdin=subprocess.DEVNULL)
        os.close(its)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)
        text = b""
        while text.count(b"nobody has joined yet") < 3:
            text += os.read(mine, 4096)
        # Three lines: run, checkpoint, coordinator.
        self.assertIn(b"\r\x1b[3Arun", text)


class Asked(CoordinatorCase):
    def test_what_nobody_executes_stays_queued(self):
        self.coordinator()
        for number, command in enumerate(("save", "stop", "rebalance"), 1):
            out, err = self.ask(command, "run", "--wait", "0.5", code=5)
            self.assertEqual(out, f"{command}: accepted as command {number}\n")
            self.assertIn(f"it stays queued as command {number}", err)
        self.assertEqual([command["executed_step"] for command in self.status()["commands"]], [None] * 3)


class Training(CoordinatorCase):
    """Two ranks, and rank 0's coordinator."""

    def train(self, *arguments, run="run"):
        process = self.start(*mpirun(2, HETMOE, "train", "small.yaml", "--run-dir", run, "--set",
                                     "train.steps=1000000", *arguments))
        self.await_true(lambda: process.poll() is not None or self.newest_step(run) > 0, "first step")
        if process.poll() is not None:
            self.fail(process.communicate()[1])
        return process

    def newest_step(self, run):
        code, out, _ = self.run_command(HETMOE, "status", run, "--json")
        return json.loads(out)["last_step"]["step"] if code == 0 else 0

    def expect_end(self, process, code):
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
        self.assertEqual(process.returncode, code, err)
        self.assertEqual(self.read_json("run/exit.json")["code"], code)

    def test_status_save_rebalance_and_stop(self):
        training = self.train("--set", "checkpoint.every_steps=0")  # nothing is saved but on demand
        found = self.status()
        self.assertEqual((found["run"], found["generation"], found["ranks"], found["steps"]), ("run", 1, 2, 1000000))
        self.assertEqual([member["joined"] for member in found["members"]], [True, True])
        self.assertEqual({member["host"] for member in found["members"]}, {socket.gethostname()})
        beaten = r"(?m)^ +1  \S+ +\d+ +\d+  training"
        for _ in range(100):  # the first sign of life comes within a second
            table, _ = self.ask("status", "run")
            if re.search(beaten, table):
                break
            time.sleep(0.1)
        self.assertRegex(table, beaten)

        out, _ = self.ask("save", "run")
        said = re.fullmatch(r"save: accepted as command 1\nsave: executed after step (\d+)\n"
                            r"save: committed step (\d+)\n", out)
        self.assertTrue(said, out)
        self.assertEqual(said[1], said[2])
        self.assertTrue((self.folder / f"run/checkpoints/step-{int(said[2]):08}/COMMITTED").exists())
        self.assertEqual(self.status()["committed"]["step"], int(said[2]))

        out, _ = self.ask("rebalance", "run")
        self.assertRegex(out, r"rebalance: executed after step \d+\n$")
        self.assertIsNone(training.poll())

        out, _ = self.ask("stop", "run")
        self.assertRegex(out, r"^stop: accepted as command 3\nstop: (executed after step \d+|the run ended with code 93.*)\n$")
        self.expect_end(training, 93)
        self.assertIn("ended with code 93", self.ask("status", "run")[0])

    def test_stop_and_requeue(self):
        training = self.train()
        self.ask("stop", "run", "--requeue")
        self.expect_end(training, 75)

    def test_ranks_beyond_loopback_meet_under_a_certificate_made_for_the_run(self):
        training = self.train("--set", "coordinator.listen=0.0.0.0:0")
        credentials = self.read_json("run/coordinator.json")
        self.assertTrue(credentials["certificate"].startswith("-----BEGIN CERTIFICATE-----"))
        self.assertTrue(credentials["address"].startswith(socket.gethostname() + ":"))
        self.await_true(lambda: all(member["joined"] for member in self.status()["members"]), "both ranks")
        self.write("plaintext.json", json.dumps(dict(credentials, certificate="", server_name="")))
        (self.folder / "plaintext.json").chmod(0o600)
        code, _, err = self.run_command(HETMOE, "save", credentials["address"], "--credentials", "plaintext.json")
        self.assertEqual(code, 5, err)
        for name in ("config.yaml", "events.jsonl", "logs/rank-0.log", "logs/rank-1.log"):
            self.assertNotIn(credentials["token"], (self.folder / "run" / name).read_text(), name)
        self.ask("stop", "run")
        self.expect_end(training, 93)

    def test_in_a_slurm_job_that_is_the_default(self):
        self.environment["SLURM_JOB_ID"] = "7"
        training = self.train()
        self.assertTrue(self.read_json("run/coordinator.json")["certificate"])
        self.ask("stop", "run")
        self.expect_end(training, 93)

    def test_with_a_coordinator_of_its_own_a_command_waits_for_the_run(self):
        _, host, port = self.coordinator(folder="coordinator")
        self.ask("stop", "coordinator", "--wait", "0")
        process = self.start(*mpirun(2, HETMOE, "train", "small.yaml", "--run-dir", "run", "--set",
                                     "train.steps=1000000", "--set", f"coordinator.address={host}:{port}",
                                     "--set", "coordinator.credentials=coordinator/coordinator.json"))
        self.expect_end(process, 93)
        command, = self.status("coordinator")["commands"]
        self.assertGreaterEqual(command["executed_step"], 1)
        self.assertEqual(self.status("coordinator")["committed"]["step"], command["executed_step"])


if __name__ == "__main__":
    unittest.main()
