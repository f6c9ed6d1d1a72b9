"""What is installed runs by itself: from a prefix, and from a Debian package, with nothing of the tree that built it."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from command_line import HETMOE, PROJECT, CommandLineCase, mpirun
from tokenizer_command_test import tokenizer_json

BUILD = HETMOE.resolve().parent
SYSTEM = ("/lib/", "/lib64/", "/usr/lib/")


def call(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=500, check=True,
                          **options).stdout


class Installed(CommandLineCase):
    def assert_stands_alone(self, root):
        """`root` holds bin, lib/hetmoe and share, and every library comes from there or from the system."""
        for program in ("hetmoe", "hetmoe-sentencepiece"):
            listed = call("ldd", root / "bin" / program, env={})
            self.assertNotIn("not found", listed)
            for path in re.findall(r"=> (\S+)", listed):
                inside = pathlib.Path(path).resolve().is_relative_to((root / "lib/hetmoe").resolve())
                self.assertTrue(inside or path.startswith(SYSTEM), path)
        libraries = {path.name for path in (root / "lib/hetmoe").iterdir()}
        self.assertIn("libtorch_cpu.so", libraries)
        dynamic = call("readelf", "-d", root / "bin/hetmoe")
        self.assertEqual(re.findall(r"R(?:UN)?PATH\)\s+.*\[(.*)\]", dynamic), ["$ORIGIN/../lib/hetmoe"])

    def assert_works(self, root):
        self.environment.pop("LD_LIBRARY_PATH", None)
        program = root / "bin/hetmoe"
        code, out, _ = self.run_command(program, "--version")
        self.assertEqual((code, out.split()[0]), (0, "hetmoe"))
        self.write("my.txt", "the first document\n\nthe second one\n\n" * 40)
        code, _, err = self.run_command(program, "data", "prepare", "my.txt", "--out", "data", "--train-vocabulary", "300",
                                        "--document-separator", "blank-line", "--valid-fraction", "0.3")
        self.assertEqual(code, 0, err)
        self.write("tokenizer.json", json.dumps(tokenizer_json()))
        code, _, err = self.run_command(program, "data", "prepare", "my.txt", "--out", "other", "--tokenizer",
                                        "tokenizer.json", "--valid-fraction", "0")
        self.assertEqual((code, self.read_json("other/train.json")["tokenizer"]), (0, "huggingface"), err)
        code, _, err = self.run_command(*mpirun(2, program, "train", "small.yaml", "--run-dir", "run", "--set", "train.steps=2",
                                                "--set", "data.train=data/train", "--set", "model.vocab_size=300"))
        self.assertEqual(code, 0, err)
        self.assertEqual(self.read_json("run/exit.json")["code"], 0)
        configs = root / "share/hetmoe/configs"
        code, _, err = self.run_command(program, "plan", configs / "tiny.yaml", "--ranks", "2")
        self.assertEqual(code, 0, err)
        for name in ("deploy/slurm/train.sbatch", "deploy/prometheus/start.sh", "deploy/grafana/hetmoe.json"):
            self.assertTrue((root / "share/hetmoe" / name).exists(), name)
        self.assertTrue((root / "share/doc/hetmoe/README.md").exists())
        self.assertIn("complete -F", (root / "share/bash-completion/completions/hetmoe").read_text())

    def test_a_prefix(self):
        prefix = self.folder / "prefix"
        call("cmake", "--install", BUILD, "--prefix", prefix)
        self.assert_stands_alone(prefix)
        self.assert_works(prefix)
        moved = prefix.rename(self.folder / "elsewhere")
        self.assertEqual(self.run_command(moved / "bin/hetmoe", "--version")[0], 0)
        self.assertEqual((moved / "share/hetmoe/deploy/prometheus/start.sh").stat().st_mode & 0o111, 0o111)
        for path in (moved / "share").rglob("*"):
            if path.is_file() and path.suffix in (".sh", ".sbatch", ".yaml", ".md"):
                self.assertNotIn(str(PROJECT), path.read_text(), path)

    @unittest.skipIf(shutil.which("dpkg-deb") is None, "no Debian here")
    def test_a_debian_package(self):
        # In a folder of its own: cpack leaves its work there. Not compressed, which would take most of the time.
        with tempfile.TemporaryDirectory(prefix="hetmoe-package-", dir=self.folder) as made:
            call("cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", made,
                 "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=none", cwd=made)
            package, = pathlib.Path(made).glob("*.deb")
            self.assertRegex(package.name, r"^hetmoe_\d+\.\d+\.\d+_amd64\.deb$")
            fields = dict(re.findall(r"(?m)^ ([A-Z][\w-]*): (.*)$", call("dpkg-deb", "--info", package)))
            depends = {word.split()[0] for word in fields["Depends"].split(",")}
            for needed in ("openmpi-bin", "python3", "libopenmpi3", "libgrpc++1.51", "libyaml-cpp0.7", "libsentencepiece0",
                           "libc6"):
                self.assertIn(needed, depends)
            self.assertEqual({name for name in depends if "torch" in name or "cuda" in name}, set())
            contents = call("dpkg-deb", "--contents", package)
            for line in contents.splitlines():
                self.assertIn("root/root", line)
                self.assertRegex(line, r" \./(usr/.*)?$")
            root = self.folder / "unpacked"
            call("dpkg", "-x", package, root)
        self.assert_stands_alone(root / "usr")
        self.assert_works(root / "usr")


if __name__ == "__main__":
    unittest.main()
