"""README.md's blocks as they stand, on the built tree, in a folder that looks like a clone.

Every block is run, in order, unless it is in NOT_RUN. Runs are shortened by a hand on build/hetmoe: steps are a fiftieth.
Of blocks that show output, the lines must come in that order and shape (readme_blocks.py).
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from command_line import ENVIRONMENT, HETMOE, PROJECT
from readme_blocks import blocks_of, missing_line, shape

DICTIONARY = pathlib.Path("/usr/share/dictd/gcide.dict.dz")
TEXT_BYTES = 3_000_000
SHORTER = 50
BLOCK_SECONDS = 240
SKIPPED = 77


def has_slurm():
    return shutil.which("sinfo") and subprocess.run(["sinfo"], capture_output=True, timeout=30, check=False).returncode == 0


# What a block holds, whether it can be run here, and why not. An entry that matches no block is a fault, too.
NOT_RUN = [
    (r"^sbatch ", has_slurm, "needs a Slurm whose controller answers (tests/slurm runs the script in one)"),
    (r"^deploy/setup\.sh --cuda", lambda: False, "downloads 2 GB; the group cuda of tests/run.sh runs it"),
]
# Serves until Ctrl-C: it must live for a while, and end by that.
SERVES = [(r"^deploy/prometheus/start\.sh ", lambda: shutil.which("prometheus"), "Prometheus is not installed")]
# Asks a run that goes on: a new one is started there before.
ASKS_A_RUN = [r"hetmoe (status|save|rebalance|stop) (?P<run>\S+)"]
# A run of the reader's own that no block makes: one like the first stands in for it.
READERS_OWN = [(r"hetmoe report .*\b(?P<run>runs/b)\b", "runs/a")]
# Shown by itself, and printed by an earlier block.
OUTPUT_OF = [(r"^done: \d+ steps", r"quickstart\.sh")]
# What differs by more than numbers from machine to machine: who is slowest comes first.
ORDER_DIFFERS = [r"--profile "]

HAND = """\
#!/usr/bin/env python3
import os, re, sys
words = [re.sub(r"(?<=^train\\.steps=)\\d+$", lambda found: str(max(int(found[0]) // {shorter}, 1)), word) for word in sys.argv[1:]]
if words[:1] == ["calibrate"]:
    words += ["--seconds", "2"]
os.execv("{program}", ["{program}", *words])
"""


def commands_of(block):
    return "\n".join(command for command, _ in block.commands) if block.kind == "session" else block.text


def entry_for(table, text):
    return next((entry for entry in table if re.search(entry[0], text, re.MULTILINE)), None)


class Clone:
    """A folder that a reader would take for a clone in which the program has been built."""

    def __init__(self, folder):
        self.folder = folder
        for entry in PROJECT.iterdir():
            if entry.name not in ("build", "configs", "data", "deploy", "runs", "tests", ".git"):
                (folder / entry.name).symlink_to(entry)
        self.link_but("deploy", "setup.sh")
        self.link_but("tests", "run.sh")
        self.build()
        self.shorten_configurations()
        self.environment = dict(ENVIRONMENT, PRTE_MCA_rmaps_default_mapping_policy=":oversubscribe",
                                OMPI_MCA_rmaps_base_oversubscribe="1", HETMOE_TEXT=str(self.texts()))

    def link_but(self, name, script):
        """The folder with one script that does nothing: set-up has been, and run.sh is what runs this test."""
        (self.folder / name).mkdir()
        for entry in (PROJECT / name).iterdir():
            if entry.name != script:
                (self.folder / name / entry.name).symlink_to(entry)
        (self.folder / name / script).write_text("#!/bin/sh\nexit 0\n")
        (self.folder / name / script).chmod(0o755)

    def build(self):
        built = HETMOE.resolve()
        (self.folder / "build").mkdir()
        for entry in built.parent.iterdir():
            if entry.name != built.name:
                (self.folder / "build" / entry.name).symlink_to(entry)
        hand = self.folder / "build/hetmoe"
        hand.write_text(HAND.format(shorter=SHORTER, program=built))
        hand.chmod(0o755)

    def shorten_configurations(self):
        shutil.copytree(PROJECT / "configs", self.folder / "configs")
        for path in (self.folder / "configs").glob("*tiny*.yaml"):
            text = path.read_text()
            text = re.sub(r"(?m)^(  (?:every_)?steps:) (\d+)", lambda found: f"{found[1]} {int(found[2]) // SHORTER}", text)
            path.write_text(re.sub(r"(?m)^(  tokens:) \d+", r"\1 4096", text))

    def texts(self):
        unpacked = subprocess.run(["gzip", "-dc", DICTIONARY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        (self.folder / "my.txt").write_bytes(unpacked[:TEXT_BYTES])
        return self.folder / "my.txt"

    def start(self, script):
        return subprocess.Popen(["bash", "-e", "-o", "pipefail", "-c", script], cwd=self.folder, env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, script):
        """Gives (exit code, output)."""
        process = self.start(script)
        try:
            out, _ = process.communicate(timeout=BLOCK_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out = f"{process.communicate()[0]}\nnot done in {BLOCK_SECONDS} s"
        return process.returncode, out


class GoingOn:
    """A run that goes on in a folder while a block asks it."""

    def __init__(self, clone, run):
        shutil.rmtree(clone.folder / run, ignore_errors=True)
        self.process = clone.start(f"exec build/hetmoe launch configs/tiny.yaml --ranks 2 --run-dir {run} "
                                   f"--set train.steps={1000000 * SHORTER}")
        self.metrics = clone.folder / run / "metrics.jsonl"
        self.folder = clone.folder / run

    def __enter__(self):
        before, end = self.lines(), time.monotonic() + 60
        # Ranks say how they are once in a while: all of them have done so before a block asks.
        while (self.lines() < before + 20 or self.ranks_told() < 2) and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        if self.process.poll() is not None:
            raise AssertionError(f"the run that a block is to ask ended by itself: {self.process.communicate()[0]}")
        return self

    def ranks_told(self):
        told = subprocess.run([HETMOE, "status", self.folder], capture_output=True, text=True, timeout=60, check=False).stdout
        return len(re.findall(r"^ +\d+ .* training ", told, re.MULTILINE))

    def lines(self):
        return self.metrics.read_bytes().count(b"\n") if self.metrics.exists() else 0

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


class Readme(unittest.TestCase):
    def test_every_block_does_what_it_says(self):
        with tempfile.TemporaryDirectory(prefix="hetmoe-readme-", ignore_cleanup_errors=True) as folder:
            self.clone = Clone(pathlib.Path(folder))
            self.printed = []  # (commands, output) of what was run
            blocks = blocks_of((PROJECT / "README.md").read_text())
            self.assertGreater(len(blocks), 10)
            for block in blocks:
                with self.subTest(block=block.name):
                    start = time.monotonic()
                    self.try_block(block)
                    print(f"{time.monotonic() - start:6.1f} s  {block.name}", file=sys.stderr)

    def test_no_entry_is_left_over(self):
        blocks = [commands_of(block) for block in blocks_of((PROJECT / "README.md").read_text()) if block.kind != "shown"]
        for pattern, *_ in NOT_RUN + SERVES:
            self.assertTrue(any(re.search(pattern, text, re.MULTILINE) for text in blocks), f"no block holds {pattern}")

    def try_block(self, block):
        text = commands_of(block)
        left_out = entry_for(NOT_RUN, text)
        served = entry_for(SERVES, text)
        if left_out and not left_out[1]() or served and not served[1]():
            print(f"not run: {block.name}: {(left_out or served)[2]}", file=sys.stderr)
        elif served:
            self.serve(text)
        elif block.kind == "shown":
            self.compare_shown(block)
        elif block.kind == "script":
            code, out = self.run_it(text)
            self.assertEqual(code, 0, f"{block.name}\n{out}")
        else:
            for command, expected in block.commands:
                code, out = self.run_it(command)
                self.assertEqual(code, 0, f"{command}\n{out}")
                self.compare(expected, out, command)

    def run_it(self, script):
        for pattern, like in READERS_OWN:
            found = re.search(pattern, script)
            if found and not (self.clone.folder / found["run"]).exists():
                shutil.copytree(self.clone.folder / like, self.clone.folder / found["run"])
        asked = next((found for pattern in ASKS_A_RUN if (found := re.search(pattern, script))), None)
        if asked is None:
            code, out = self.clone.run(script)
        else:
            with GoingOn(self.clone, asked["run"]):
                code, out = self.clone.run(script)
        self.printed.append((script, out))
        return code, out

    def serve(self, script):
        process = self.clone.start(script)
        time.sleep(5)
        self.assertIsNone(process.poll(), "it ended by itself")
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        self.assertIn("http://", out)

    def compare_shown(self, block):
        entry = next((entry for entry in OUTPUT_OF if re.search(entry[0], block.text, re.MULTILINE)), None)
        if entry:
            output = next(out for script, out in self.printed if re.search(entry[1], script))
            self.compare(block.text.splitlines(), output, entry[1])

    def compare(self, expected, output, command):
        lines = output.replace("\r", "\n").replace(socket.gethostname(), "vm").splitlines()
        if any(re.search(pattern, command) for pattern in ORDER_DIFFERS):
            return
        missing = missing_line(expected, lines)
        self.assertIsNone(missing, f"{command}: no such line where the README shows it: {shape(missing or '')}\n{output}")


class Blocks(unittest.TestCase):
    """The reader of blocks, and what counts as the same shape."""

    def test_kinds(self):
        blocks = blocks_of("# A\n\n```sh\none\n```\ntext\n\n    two\n    three\n\n- a list\n    goes on\n\n"
                           "```text\n$ four \\\n  five\nout\n$ six\n```\n```text\npicture\n```\n")
        self.assertEqual([(block.kind, block.line) for block in blocks],
                         [("script", 4), ("script", 8), ("session", 15), ("shown", 21)])
        self.assertEqual(blocks[1].text, "two\nthree")
        self.assertEqual(blocks[2].commands, [("four \\\n  five", ["out"]), ("six", [])])

    def test_what_is_no_block_is_refused(self):
        for markdown in ("```sh\nopen", "```\nnothing said\n```\n", "```yaml\na: 1\n```\n"):
            with self.assertRaises(ValueError):
                blocks_of(markdown)

    def test_numbers_bars_and_widths_may_differ(self):
        for one, other in (("tokens/s            21.6 k   (median)", "tokens/s  512   (median)"),
                           ("       0      72    20.1 %  ######", "       0      72    3 %  #"),
                           ("done: 1500 steps, 3.07 M tokens in 2 min 28 s", "done: 30 steps, 61.4 k tokens in 4 s"),
                           ("  run directory     runs/tiny-20261122-130851-7ffc", "  run directory  runs/a/tiny-20270101-000000-0000")):
            self.assertEqual(shape(one), shape(other))
        self.assertNotEqual(shape("save: accepted as command 1"), shape("save: executed after step 276"))
        self.assertNotEqual(shape("generation 1, 2 ranks"), shape("generation one, 2 ranks"))

    def test_lines_must_come_in_order(self):
        self.assertIsNone(missing_line(["a 1", "...", "c 3"], ["head", "a 7", "b", "c 9"]))
        self.assertEqual(missing_line(["c 3", "a 1"], ["a 7", "c 9"]), "a 1")
        self.assertEqual(missing_line(["gone"], ["a"]), "gone")


if __name__ == "__main__":
    if not DICTIONARY.exists():
        print(f"skipped: no text at {DICTIONARY} (dict-gcide)", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main()
