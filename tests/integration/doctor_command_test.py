"""`hetmoe doctor`: what it says of a machine that is well, and of one with something missing, broken or taken."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import unittest

from command_line import DEADLINE_SECONDS, HETMOE, CommandLineCase

NOBODY = 54321


class Doctor(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.tools = self.folder / "tools"
        self.tools.mkdir()

    def only_tools(self, **scripts):
        """PATH holds these scripts and nothing else."""
        for name, text in scripts.items():
            path = self.write(f"tools/{name}", "#!/bin/sh\n" + text)
            path.chmod(0o755)
        self.environment["PATH"] = str(self.tools)

    def doctor(self, *arguments, **options):
        done = subprocess.run([HETMOE, "doctor", "--json", *arguments], cwd=self.folder, env=self.environment, text=True,
                              capture_output=True, timeout=DEADLINE_SECONDS + 60, check=False, **options)
        self.assertEqual(done.stderr, "")
        document = json.loads(done.stdout)
        found = {}
        for check in document["checks"]:
            found.setdefault(check["check"], []).append(check)
        for name in ("warning", "wrong"):
            count = sum(check["verdict"] == name for check in document["checks"])
            self.assertEqual(document["warnings" if name == "warning" else name], count)
        return done.returncode, found

    def assert_found(self, found, check, verdict, words, advice=""):
        lines = [line for line in found[check] if line["verdict"] == verdict]
        self.assertEqual(len(lines), 1, found[check])
        self.assertRegex(lines[0]["found"], words)
        self.assertIn(advice, lines[0]["advice"])
        self.assertEqual(lines[0]["advice"] == "", verdict == "ok")

    def test_of_this_machine_nothing_is_wrong(self):
        code, found = self.doctor("small.yaml")
        wrong = [line for lines in found.values() for line in lines if line["verdict"] == "wrong"]
        self.assertEqual((code, wrong), (0, []))
        self.assert_found(found, "MPI", "ok", r"Open MPI\) \d+\.\d+")
        self.assert_found(found, "MPI ranks", "ok", "two ranks")
        self.assert_found(found, "LibTorch", "ok", r"LibTorch 2\.11\.0")
        self.assert_found(found, "configuration", "ok", "small.yaml")
        self.assert_found(found, "file system", "ok", "writes, renames, locks and syncs")
        self.assertEqual(list(self.folder.glob(".hetmoe*")), [], "trial files are gone")
        for check in ("cores, memory", "shared memory", "open files", "pages", "clock", "ports", "Slurm", "tokenizers", "GPU"):
            self.assertIn(check, found)

    def test_the_table_tells_the_same_in_lines(self):
        self.only_tools()
        code, out, err = self.run_command(HETMOE, "doctor")
        self.assertEqual((code, err), (4, ""))
        self.assertRegex(out, r"(?m)^wrong    MPI +mpirun is not found: No such file or directory\n +-> apt-get install openmpi-bin")
        self.assertRegex(out, r"(?m)^ok       clock ")
        self.assertRegex(out, r"(?m)^\d+ checks, \d+ warnings?, 1 wrong$")

    def test_an_mpirun_that_is_missing_broken_or_another_one(self):
        self.only_tools()
        code, found = self.doctor()
        self.assertEqual(code, 4)
        self.assert_found(found, "MPI", "wrong", "mpirun is not found", "openmpi-bin")
        self.only_tools(mpirun="echo cannot find libopen-rte >&2; exit 3\n")
        code, found = self.doctor()
        self.assertEqual(code, 4)
        self.assert_found(found, "MPI", "wrong", "mpirun --version fails: cannot find libopen-rte")
        self.only_tools(mpirun='if [ "$1" = --version ]; then echo "HYDRA 4.0"; else echo no slots >&2; exit 1; fi\n')
        code, found = self.doctor()
        self.assertEqual(code, 4)
        self.assert_found(found, "MPI", "warning", "HYDRA 4.0", "Open MPI")
        self.assert_found(found, "MPI ranks", "wrong", "did not meet: no slots")

    def test_slurm_that_is_absent_half_there_or_silent(self):
        self.only_tools()
        self.assert_found(self.doctor()[1], "Slurm", "ok", "not installed")
        self.only_tools(sinfo="exit 0\n")
        self.assert_found(self.doctor()[1], "Slurm", "warning", "sbatch is not found")
        self.only_tools(sinfo="echo slurm_load_partitions: Unable to contact slurm controller >&2; exit 1\n", sbatch="echo 1\n")
        self.assert_found(self.doctor()[1], "Slurm", "warning", "Unable to contact slurm controller", "SLURM_CONF")
        self.only_tools(sinfo="exec /bin/sleep 1000\n")
        self.assert_found(self.doctor()[1], "Slurm", "warning", "sinfo fails: no answer")
        self.only_tools(sinfo="echo 'batch* 2 nodes idle'\n", sbatch="echo slurm-wlm 22.05.8\n")
        self.assert_found(self.doctor()[1], "Slurm", "ok", r"slurm-wlm 22\.05\.8.*batch\* 2 nodes idle")

    def test_a_port_that_is_taken(self):
        self.only_tools()
        with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as closed:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            free = f"127.0.0.1:{closed.getsockname()[1]}"
            closed.close()
            _, found = self.doctor("small.yaml", "--set", f"coordinator.listen={address}", "--set", f"metrics.listen={free}")
        self.assert_found(found, "ports", "wrong", f"cannot listen on {address}: Address already in use", "port 0")
        self.assertIn(f"{free} is free", [line["found"] for line in found["ports"]])

    def test_a_folder_that_is_a_file_or_not_ones_own(self):
        self.only_tools()
        self.write("runs", "a file")
        code, found = self.doctor("--run-dir", "runs")
        self.assertEqual(code, 3)
        self.assert_found(found, "file system", "wrong", "is no folder", "--run-dir")
        _, found = self.doctor("--run-dir", "absent/deeper")  # a run makes it
        self.assert_found(found, "file system", "ok", "absent/deeper")
        self.assertFalse((self.folder / "absent").exists())
        if os.geteuid() == 0:
            with tempfile.TemporaryDirectory() as locked:
                os.chmod(self.folder, 0o755)
                os.chmod(locked, 0o755)
                code, found = self.doctor("--run-dir", locked, user=NOBODY, group=NOBODY)
            self.assertEqual(code, 3)
            self.assert_found(found, "file system", "wrong", "no file can be made: Permission denied")

    def test_a_configuration_with_a_fault(self):
        self.only_tools()
        code, found = self.doctor("small.yaml", "--set", "train.stepz=1")
        self.assertEqual(code, 2)
        self.assert_found(found, "configuration", "wrong", "train.stepz.*unknown key", "--help-config")

    def test_few_open_files(self):
        self.only_tools()
        done = subprocess.run(["/bin/sh", "-c", f"ulimit -n 256; exec '{HETMOE}' doctor --json"], cwd=self.folder,
                              env=self.environment, text=True, capture_output=True, timeout=DEADLINE_SECONDS, check=False)
        lines = {line["check"]: line for line in json.loads(done.stdout)["checks"]}
        self.assertEqual(lines["open files"]["verdict"], "warning")
        self.assertIn("256", lines["open files"]["found"])

    def test_a_tokenizer_that_is_not_beside_the_program(self):
        self.only_tools()
        alone = self.folder / "alone"
        alone.mkdir()
        program = pathlib.Path(HETMOE).resolve()
        # A link would be followed to the folder where the tokenizer lies.
        subprocess.run(["/bin/ln", program, alone / "hetmoe"], check=False, capture_output=True)
        if not (alone / "hetmoe").exists():
            subprocess.run(["/bin/cp", program, alone / "hetmoe"], check=True)
        libraries = subprocess.run(["/usr/bin/ldd", program], capture_output=True, text=True, check=True).stdout
        folders = {str(pathlib.Path(line.split()[2]).parent) for line in libraries.splitlines() if "=> /" in line}
        self.environment["LD_LIBRARY_PATH"] = ":".join(sorted(folders))
        done = subprocess.run([alone / "hetmoe", "doctor", "--json"], cwd=self.folder, env=self.environment, text=True,
                              capture_output=True, timeout=DEADLINE_SECONDS, check=False)
        lines = {line["check"]: line for line in json.loads(done.stdout)["checks"]}
        self.assertEqual(lines["tokenizers"]["verdict"], "warning")
        self.assertIn("no hetmoe-sentencepiece beside hetmoe", lines["tokenizers"]["found"])

    def test_under_mpirun_it_refuses(self):
        self.environment["OMPI_COMM_WORLD_SIZE"] = "1"
        self.environment["PMIX_RANK"] = "0"
        self.environment["OMPI_COMM_WORLD_RANK"] = "0"
        code, _, err = self.run_command(HETMOE, "doctor")
        self.assertEqual(code, 2)
        self.assertIn("without mpirun", err)


if __name__ == "__main__":
    unittest.main()
