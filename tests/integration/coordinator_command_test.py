"""`hetmoe coordinator`, `status`, `save`, `stop` and `rebalance` as a person types them."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import termios
import time
import unittest

from command_line import DEADLINE_SECONDS, HETMOE, CommandLineCase, mpirun

METRICS = re.compile(r"^coordinator: metrics on \S+:\d+$")
LISTENS = re.compile(r"^coordinator: listens on (\S+):(\d+), credentials in (\S+)$")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class CoordinatorCase(CommandLineCase):
    def coordinator(self, *arguments, folder="run"):
        """A coordinator that listens: (process, HOST, port as text)."""
        process = self.start(HETMOE, "coordinator", "--run-dir", folder, *arguments)
        line = process.stdout.readline()
        found = LISTENS.match(line)
        if not found:
            self.fail(f"{line}{process.communicate(timeout=DEADLINE_SECONDS)[1]}")
        self.assertEqual(found[3], f"{folder}/coordinator.json")
        if "none" not in arguments:
            self.assertRegex(process.stdout.readline(), METRICS)
        return process, found[1], found[2]

    def end(self, process, signal_number=signal.SIGTERM):
        process.send_signal(signal_number)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, out, err

    def ask(self, *arguments, code=0):
        """Gives (standard output, standard error); the token is in neither."""
        found, out, err = self.run_command(HETMOE, *arguments)
        self.assertEqual(found, code, out + err)
        for token in self.tokens():
            self.assertNotIn(token, out + err)
        if code != 0:
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertTrue(err.startswith("hetmoe: "), err)
        return out, err

    def tokens(self):
        for path in self.folder.glob("*/coordinator.json"):
            try:
                yield json.loads(path.read_text())["token"]
            except (ValueError, KeyError):
                pass

    def status(self, target="run", *arguments):
        return json.loads(self.ask("status", target, "--json", *arguments)[0])

    def await_true(self, condition, what=""):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"waited for nothing {what}")
            time.sleep(0.05)

    def write_credentials(self, name, **changes):
        """coordinator.json of `run` with other fields."""
        path = self.write(name, json.dumps({**self.read_json("run/coordinator.json"), **changes}))
        path.chmod(0o600)
        return path


class Alone(CoordinatorCase):
    def test_it_listens_on_loopback_and_its_credentials_are_its_owners_only(self):
        _, host, port = self.coordinator()
        self.assertEqual(host, "127.0.0.1")
        self.assertEqual(stat.S_IMODE((self.folder / "run/coordinator.json").stat().st_mode), 0o600)
        credentials = self.read_json("run/coordinator.json")
        self.assertEqual(credentials["address"], f"127.0.0.1:{port}")
        self.assertRegex(credentials["token"], r"^[0-9a-f]{64}$")
        self.assertEqual(credentials["certificate"], "")

    def test_a_status_before_anybody_has_joined(self):
        self.coordinator()
        out, err = self.ask("status", "run")
        self.assertIn("nobody has joined yet", out)
        self.assertEqual(err, "")
        found = self.status()
        self.assertIs(found["reachable"], True)
        self.assertEqual((found["run"], found["generation"], found["members"]), ("", 0, []))

    def test_a_signal_ends_it_with_0_and_removes_nothing(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                process, _, _ = self.coordinator()
                before = self.read_json("run/coordinator.json")
                self.assertEqual(self.end(process, number), (0, "", ""))
                self.assertEqual(self.read_json("run/coordinator.json"), before)

    def test_a_signal_that_was_ignored_stays_so(self):
        self.write("nohup.sh", "trap '' HUP; exec \"$@\"\n")
        process = self.start("bash", "nohup.sh", HETMOE, "coordinator", "--run-dir", "run")
        self.assertRegex(process.stdout.readline(), LISTENS)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        self.status()
        self.assertIsNone(process.poll())
        self.assertEqual(self.end(process)[0], 0)

    def test_a_second_one_on_the_same_folder_is_refused(self):
        self.coordinator()
        before = self.read_json("run/coordinator.json")
        _, err = self.ask("coordinator", "--run-dir", "run", code=3)
        self.assertIn("run/coordinator.journal", err)
        self.assertEqual(self.read_json("run/coordinator.json"), before)
        self.status()

    def test_a_port_in_use_and_a_foreign_address_are_refused_by_name(self):
        _, _, port = self.coordinator()
        _, err = self.ask("coordinator", "--run-dir", "other", "--listen", f"127.0.0.1:{port}", code=5)
        self.assertIn(f"127.0.0.1:{port}", err)
        self.assertFalse((self.folder / "other/coordinator.json").exists())
        _, err = self.ask("coordinator", "--run-dir", "third", "--listen", "192.0.2.1:0", code=5)
        self.assertIn("192.0.2.1", err)

    def test_usage(self):
        for listen in ("nonsense", "127.0.0.1", "127.0.0.1:65536", ":80", "a b:1", "::1:1"):
            _, err = self.ask("coordinator", "--run-dir", "run", "--listen", listen, code=2)
            self.assertIn(listen, err)
        _, err = self.ask("coordinator", code=2)
        self.assertIn("--run-dir", err)
        self.ask("coordinator", "--run-dir", "run", "--certificate", "a.pem", code=2)
        _, err = self.ask("coordinator", "--run-dir", "run", "--certificate", "a.pem", "--private-key", "b.pem", code=2)
        self.assertIn("a.pem", err)
        self.write("file", "")
        _, err = self.ask("coordinator", "--run-dir", "file/below", code=3)
        self.assertIn("file/below", err)


class Restarted(CoordinatorCase):
    def test_killed_and_started_again_it_is_found_by_who_knew_it_and_has_forgotten_nothing(self):
        process, _, port = self.coordinator()
        self.write_credentials("known.json")
        out, _ = self.ask("save", "run", "--wait", "0")
        self.assertEqual(out, "save: accepted as command 1\n")
        self.ask("stop", "--requeue", "run", "--wait", "0")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before = self.read_json("run/coordinator.json")
        _, _, again = self.coordinator()
        self.assertEqual(again, port)
        self.assertEqual(self.read_json("run/coordinator.json"), before)
        known = ("--credentials", "known.json")
        expected = [{"number": 1, "command": "save", "executed_step": None},
                    {"number": 2, "command": "stop_and_requeue", "executed_step": None}]
        self.assertEqual(self.status("run", *known)["commands"], expected)
        # Asked for once more it is the same one.
        self.assertEqual(self.ask("save", "run", "--wait", "0", *known)[0], "save: accepted as command 1\n")
        self.assertEqual(self.ask("rebalance", "run", "--wait", "0")[0], "rebalance: accepted as command 3\n")

    def test_where_its_port_is_taken_it_takes_another_and_keeps_the_token(self):
        process, _, port = self.coordinator()
        before = self.read_json("run/coordinator.json")
        self.end(process)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", int(port)))
            other.listen()
            _, _, again = self.coordinator()
            self.assertNotEqual(again, port)
            self.assertEqual(self.read_json("run/coordinator.json"),
                             {**before, "address": f"127.0.0.1:{again}"})
            self.status()

    def test_beyond_loopback_its_certificate_stays_too(self):
        process, host, port = self.coordinator("--listen", "0.0.0.0:0")
        self.assertEqual(host, "0.0.0.0")
        before = self.read_json("run/coordinator.json")
        self.assertEqual(before["address"], f"{socket.gethostname()}:{port}")
        self.assertIn("BEGIN CERTIFICATE", before["certificate"])
        self.assertNotIn("PRIVATE", before["certificate"])
        self.assertEqual(stat.S_IMODE((self.folder / "run/coordinator.key").stat().st_mode), 0o600)
        known = ("--credentials", self.write_credentials("known.json"))
        self.assertIs(self.status(f"127.0.0.1:{port}", *known)["reachable"], True)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        _, _, again = self.coordinator("--listen", f"0.0.0.0:{port}")
        self.assertEqual(again, port)
        self.assertEqual(self.read_json("run/coordinator.json"), before)
        self.assertIs(self.status(f"127.0.0.1:{port}", *known)["reachable"], True)

    def test_insecure_is_plaintext_and_asks_for_the_token_all_the_same(self):
        _, _, port = self.coordinator("--listen", "0.0.0.0:0", "--insecure")
        self.assertEqual(self.read_json("run/coordinator.json")["certificate"], "")
        self.assertFalse((self.folder / "run/coordinator.key").exists())
        self.status(f"127.0.0.1:{port}", "--credentials", "run/coordinator.json")
        self.ask("status", f"127.0.0.1:{port}", code=5)

    def test_credentials_that_others_may_read_or_that_are_damaged_are_not_taken_up(self):
        process, _, _ = self.coordinator("--listen", "0.0.0.0:0")
        self.end(process)
        for name in ("coordinator.json", "coordinator.key"):
            path = self.folder / "run" / name
            content = path.read_bytes()
            path.chmod(0o644)
            _, err = self.ask("coordinator", "--run-dir", "run", "--listen", "0.0.0.0:0", code=3)
            self.assertIn(f"run/{name}", err)
            path.chmod(0o600)
            path.write_text("nothing")
            _, err = self.ask("coordinator", "--run-dir", "run", "--listen", "0.0.0.0:0", code=3)
            self.assertIn(f"run/{name}", err)
            path.write_bytes(content)


@unittest.skipUnless(shutil.which("openssl"), "needs the openssl program")
class Configured(CoordinatorCase):
    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def pair(self):
        """An authority and a certificate for 127.0.0.1 that it signed."""
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
        self.openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
        self.openssl("req", *key, "-keyout", "pair.key", "-out", "pair.csr", "-subj", "/CN=pair")
        self.write("names", "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self.openssl("x509", "-req", "-in", "pair.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                     "-CAcreateserial", "-out", "pair.pem", "-extfile", "names")
        (self.folder / "pair.key").chmod(0o600)
        return "--certificate", "pair.pem", "--private-key", "pair.key"

    def test_a_configured_pair_is_what_clients_see(self):
        self.coordinator(*self.pair())
        self.assertEqual(self.read_json("run/coordinator.json")["certificate"],
                         (self.folder / "pair.pem").read_text())
        self.assertFalse((self.folder / "run/coordinator.key").exists())
        self.assertIs(self.status()["reachable"], True)
        self.write_credentials("plain.json", certificate="", server_name="")
        self.ask("save", "run", "--credentials", "plain.json", code=5)

    def test_with_an_authority_clients_must_show_a_certificate(self):
        self.coordinator(*self.pair(), "--client-authority", "ca.pem")
        self.assertIs(self.status()["reachable"], True)
        self.write_credentials("none.json", client_certificate_file="", client_key_file="")
        self.ask("save", "run", "--credentials", "none.json", code=5)

    def test_a_key_that_others_may_read_is_refused(self):
        arguments = self.pair()
        (self.folder / "pair.key").chmod(0o640)
        _, err = self.ask("coordinator", "--run-dir", "run", *arguments, code=2)
        self.assertIn("pair.key", err)


class Refused(CoordinatorCase):
    def test_a_wrong_token(self):
        self.coordinator()
        self.write_credentials("wrong.json", token="0" * 64)
        for command in ("status", "save", "stop", "rebalance"):
            self.ask(command, "run", "--credentials", "wrong.json", code=5)
        self.assertEqual(self.status()["commands"], [])

    def test_an_address_without_credentials_names_the_flag(self):
        _, host, port = self.coordinator()
        for command in ("status", "save"):
            _, err = self.ask(command, f"{host}:{port}", code=5)
            self.assertIn("--credentials", err)
        self.status(f"{host}:{port}", "--credentials", "run/coordinator.json")

    def test_credentials_that_others_may_read(self):
        self.coordinator()
        (self.folder / "run/coordinator.json").chmod(0o644)
        _, err = self.ask("status", "run", code=5)
        self.assertIn("run/coordinator.json", err)

    def test_what_is_neither_a_folder_nor_an_address(self):
        _, err = self.ask("status", "absent", code=2)
        self.assertIn("'absent'", err)
        self.ask("save", code=2)
        self.ask("status", "run", "--watch=0.1", code=2)
        self.ask("save", "run", "--wait", "-1", code=2)


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
        training = self.train()
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
