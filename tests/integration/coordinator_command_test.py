"""`hetmoe coordinator` as a person starts it: listening, credentials, restarts, refusals."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import time
import unittest
import urllib.request

from command_line import HETMOE, mpirun
from coordinator_case import CoordinatorCase, LISTENS


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


class Scraped(CoordinatorCase):
    """Its own metrics, and how Prometheus finds them."""

    def target(self, folder="c"):
        (target,) = json.loads((self.folder / folder / "prometheus/targets.json").read_text())
        return target

    def page(self, path):
        address = self.target()["targets"][0]
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.read().decode()

    def gauge(self, name):
        return float(re.search(rf"^{name} (\S+)$", self.page("/run/metrics"), re.MULTILINE)[1])

    def test_they_bear_the_name_of_the_run_that_joins_and_nobody_is_missed_after_its_end(self):
        process, host, port = self.coordinator(folder="c")
        self.assertEqual(self.target()["labels"], {"run": "c", "host": socket.gethostname(), "role": "coordinator",
                                                   "__metrics_path__": "/run/metrics"})
        code, _, err = self.run_command(*mpirun(2, HETMOE, "train", "small.yaml", "--run-dir", "run"), "--set",
                                        f"coordinator.address={host}:{port}", "--set", "coordinator.credentials=c/coordinator.json")
        self.assertEqual(code, 0, err)
        self.await_true(lambda: self.target()["labels"]["run"] == "run", "its own target bears the run's name")
        self.assertEqual([one["labels"]["run"] for one in json.loads(self.page("/targets"))], ["run"] * 3)
        self.assertEqual((self.gauge("hetmoe_step"), self.gauge("hetmoe_ranks")), (3, 2))
        # Ranks that have ended are not silent, however long nothing is heard of them.
        self.assertEqual((self.gauge("hetmoe_ranks_joined"), self.gauge("hetmoe_ranks_silent")), (0, 0))
        self.assertEqual([one["phase"] for one in self.status("c")["members"]], ["ended", "ended"])
        self.assertEqual(self.end(process)[0], 0)
        self.assertFalse((self.folder / "c/prometheus/targets.json").exists())

    def test_beyond_loopback_over_tls_with_a_token(self):
        process, _, _ = self.coordinator("--metrics", "0.0.0.0:0", folder="c/")
        self.assertEqual((self.target()["labels"]["run"], self.target()["labels"]["__scheme__"]), ("c", "https"))
        token = (self.folder / "c/prometheus/token").read_text()
        trusted = ssl.create_default_context(cafile=str(self.folder / "c/prometheus/certificate.pem"))
        address = ("127.0.0.1", int(self.target()["targets"][0].rsplit(":", 1)[1]))

        def answer(header):
            with socket.create_connection(address) as plain, \
                    trusted.wrap_socket(plain, server_hostname="hetmoe-coordinator") as wire:
                wire.sendall(f"GET /run/metrics HTTP/1.0\r\n{header}\r\n".encode())
                return wire.recv(64)

        self.assertIn(b" 200 ", answer(f"Authorization: Bearer {token}\r\n"))
        self.assertIn(b" 401 ", answer(""))
        self.assertEqual(self.end(process)[0], 0)


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


if __name__ == "__main__":
    unittest.main()
