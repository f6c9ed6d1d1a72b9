"""deploy/slurm/one_machine.sh: what it refuses, and that it leaves nothing behind."""

import os
import pathlib
import re
import shutil
import unittest

from cluster import SlurmCase, one_machine

NAP = 10**6 + os.getpid()  # seconds; tells this test's processes from any others


class OneMachine(SlurmCase):
    def test_names_the_packages_that_are_missing(self):
        tools = self.folder / "tools"
        tools.mkdir()
        for name in ("bash", "env", "realpath"):
            (tools / name).symlink_to(f"/usr/bin/{name}")
        refused = one_machine("start", self.folder / "cluster", env={"PATH": str(tools)})
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"^one_machine: not installed: slurmctld slurmd munged .*slurm-client munge\)\n$")

    def test_takes_no_folder_that_holds_something(self):
        refused = one_machine("start", self.folder)
        self.assertEqual((refused.returncode, refused.stderr),
                         (1, f"one_machine: folder {self.folder} is not empty: stop what runs there, or name another\n"))
        self.assertEqual(one_machine("start", self.slurm).returncode, 1)
        self.assertEqual(one_machine("stop", self.folder).returncode, 1)
        self.assertIn("idle", one_machine("status", self.slurm).stdout)

    def test_leaves_nothing_behind(self):
        folder = self.folder / "cluster"
        self.addCleanup(one_machine, "stop", folder)
        self.assertEqual(one_machine("start", folder).returncode, 0)
        self.environment["SLURM_CONF"] = f"{folder}/slurm.conf"
        self.call("sbatch", "--nodes=2", "--output=/dev/null", "--wrap", f"srun sleep {NAP} & sleep {NAP}")
        self.await_true(lambda: len(self.sleepers()) == 3, "the job's three processes")
        self.assertEqual(one_machine("lose", folder, "n1").returncode, 0)
        self.await_true(lambda: len(self.sleepers()) == 1, "n1's two processes end")
        stopped = one_machine("stop", folder)
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        self.assertEqual(self.processes(str(folder)) + self.sleepers(), [])
        self.assertEqual([path.name for path in folder.iterdir()], ["log"])
        self.environment["SLURM_CONF"] = f"{self.slurm}/slurm.conf"

    def test_stops_with_the_process_that_it_is_for(self):
        folder = self.folder / "watched"
        self.addCleanup(one_machine, "stop", folder)
        user = self.start("sleep", "1000")
        started = one_machine("start", folder, str(user.pid))
        self.assertEqual(started.returncode, 0, started.stderr)
        shutil.rmtree(folder)  # as the one that ends may do on its way
        user.kill()
        user.wait()
        self.await_true(lambda: self.processes(str(folder)) == [], "the end of all processes")
        self.assertEqual(one_machine("start", folder, "1e6").stderr, "one_machine: process '1e6': a running one's number\n")

    def test_listens_on_loopback_alone(self):
        ports = re.findall(r"Port=(\d+)", (self.slurm / "slurm.conf").read_text())
        self.assertEqual(len(ports), 3)
        listening = [line.split()[1] for table in ("tcp", "tcp6") for line in pathlib.Path("/proc/net", table).read_text().splitlines()
                     if line.split()[3] == "0A"]
        wanted = {f"0100007F:{int(port):04X}" for port in ports}
        self.assertEqual({address for address in listening if f"0100007F:{address[-4:]}" in wanted}, wanted)

    def sleepers(self):
        return [process for process in self.processes(f"sleep\0{NAP}\0") if process.split("\0")[0].endswith("sleep")]

    def processes(self, words):
        """Command lines that hold the words, but for this test's own."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if words in (line := entry.read_text()) and str(os.getpid()) != entry.parent.name:
                    found.append(line)
            except (OSError, UnicodeDecodeError):
                pass  # it has ended
        return found


if __name__ == "__main__":
    unittest.main()
