"""Runs build/hetmoe and mpirun as a user would.

Helpers of the command-line tests: a folder of its own for every case, a small configuration, and
runs with a deadline.
"""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
HETMOE = pathlib.Path(os.environ.get("HETMOE", PROJECT / "build" / "hetmoe"))
DEADLINE_SECONDS = 60

ENVIRONMENT = dict(
    os.environ,
    OMP_NUM_THREADS="1",
    OMPI_ALLOW_RUN_AS_ROOT="1",
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
    OMPI_MCA_mpi_yield_when_idle="1",
)

CONFIGURATION = """\
model: {vocab_size: 256, hidden_size: 32, num_layers: 2, num_heads: 2, num_kv_heads: 2,
        experts: {count: 4, mean_width: 32}}
data: {train: random}
train: {steps: 3, global_batch: 4, sequence_length: 16, warmup_steps: 0, precision: fp32}
evaluate: {every_steps: 0}
parallel: {threads: 1}
"""


def mpirun(ranks, *arguments):
    return ["mpirun", "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", "-np", str(ranks), *arguments]


class CommandLineCase(unittest.TestCase):
    """A test in a temporary folder that holds `small.yaml`."""

    def setUp(self):
        # Ranks of a job that was killed may write a moment longer.
        folder = tempfile.TemporaryDirectory(prefix="hetmoe-", ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.environment = dict(ENVIRONMENT)
        self.write("small.yaml", CONFIGURATION)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *command):
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

        def end():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

        self.addCleanup(end)
        return process

    def run_command(self, *command):
        """Gives (exit code, standard output, standard error)."""
        process = self.start(*command)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, out, err

    def train(self, *arguments, ranks=0):
        command = [HETMOE, "train", *arguments]
        return self.run_command(*(mpirun(ranks, *command) if ranks else command))

    def read_json(self, name):
        return json.loads((self.folder / name).read_text())

    def read_lines(self, name):
        text = (self.folder / name).read_text()
        self.assertTrue(text == "" or text.endswith("\n"), f"{name} ends with half a line")
        return [json.loads(line) for line in text.splitlines()]
