"""A coordinator in a process of its own, and those who ask it: for tests of commands."""

import json
import re
import signal
import socket
import time

from command_line import DEADLINE_SECONDS, HETMOE, CommandLineCase

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
        self.assertEqual(found[3], f"{folder.rstrip('/')}/coordinator.json")
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
