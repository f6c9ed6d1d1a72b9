"""A Slurm of two nodes on this machine, and jobs of deploy/slurm/train.sbatch in it."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from command_line import HETMOE, PROJECT
from resume_command_test import ResumeCase

ONE_MACHINE = PROJECT / "deploy/slurm/one_machine.sh"
BATCH_SCRIPT = PROJECT / "deploy/slurm/train.sbatch"
WAIT_SECONDS = 120
SKIPPED = 77  # ctest's SKIP_RETURN_CODE
LAUNCHERS = ("mpirun", "srun")
STEPS = 500
ENDLESS = 1000000
# Whether slices move depends on measured times, and with their places the order of sums: to compare bit for bit, none move.
SETTLED = "placement.every=0"

MISSING = [program for program in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(program) is None]
if MISSING:
    print(f"skipped: {', '.join(MISSING)} not installed", file=sys.stderr)
    sys.exit(SKIPPED)


def one_machine(*words, **options):
    return subprocess.run([ONE_MACHINE, *words], capture_output=True, text=True, timeout=150, **options)


class SlurmCase(ResumeCase):
    """Tests on one Slurm, started with the class. A job starts where the one before has gone."""

    @classmethod
    def setUpClass(cls):
        cls.slurm = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="hetmoe-slurm-")))
        started = one_machine("start", cls.slurm, str(os.getpid()))  # gone with this process too
        if started.returncode != 0:
            raise RuntimeError(started.stderr)
        cls.addClassCleanup(one_machine, "stop", cls.slurm)

    def setUp(self):
        super().setUp()
        # The nodes share this machine's name, so that Open MPI would take them for one with shared memory.
        self.environment |= {"SLURM_CONF": f"{self.slurm}/slurm.conf", "OMPI_MCA_btl": "self,tcp"}
        self.addCleanup(self.end_jobs)

    def end_jobs(self):
        self.call("scancel", "--user", str(os.getuid()))
        self.await_true(lambda: self.call("squeue", "--noheader") == "", "no jobs")

    def call(self, *command):
        code, out, err = self.run_command(*command)
        self.assertEqual(code, 0, f"{command}: {out}{err}")
        return out.strip()

    def await_true(self, holds, what, seconds=WAIT_SECONDS):
        end = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), end, f"not within {seconds} s: {what}\n{self.picture()}")
            time.sleep(0.1)

    def picture(self):
        """What a person looks at when a job does not do what it should."""
        texts = [self.run_command("squeue")[1], self.run_command("sinfo")[1]]
        return "\n".join(texts + [path.read_text() for path in self.folder.glob("job-*.log")])

    def submit(self, steps, *settings, launcher="mpirun", program=HETMOE, edits=(), options=(), run="run"):
        words = [word for setting in (f"train.steps={steps}", SETTLED, *settings) for word in ("--set", setting)]
        script = self.batch_script(("launcher=mpirun ", f"launcher={launcher} "), ("(build/hetmoe)", f"({program})"), *edits)
        return self.call("sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--time=20",
                         "--output=job-%j.log", *options, script, "small.yaml", run, *words)

    def batch_script(self, *edits):
        """The script as a user edits it."""
        text = BATCH_SCRIPT.read_text()
        for old, new in edits:
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        return self.write("train.sbatch", text)

    def job(self, number):
        """What Slurm says of a job, key by key."""
        return dict(re.findall(r"(\w+)=(\S*)", self.call("scontrol", "show", "job", "--oneliner", number)))

    def log(self, number):
        return (self.folder / f"job-{number}.log").read_text()

    def await_state(self, number, state):
        self.await_true(lambda: self.job(number)["JobState"] == state, f"job {number} {state}")

    def await_step(self, step, run="run"):
        self.await_true(lambda: self.newest_line(run) >= step, f"step {step}")

    def newest_line(self, run="run"):
        """The last step on record; 0 before there is one."""
        with contextlib.suppress(FileNotFoundError):
            steps = re.findall(r'"step":(\d+)', (self.folder / run / "metrics.jsonl").read_text())
            return int(steps[-1]) if steps else 0
        return 0

    def ranks(self, run="run"):
        """Process ids of the ranks, by rank: not of what launches them."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0] == str(HETMOE).encode() and run.encode() in words and os.path.samefile(entry / "cwd", self.folder):
                    rank = re.search(rb"\0PMIX_RANK=(\d+)\0", (entry / "environ").read_bytes())
                    found[int(rank[1])] = int(entry.name)
        return found

    def assert_finished_as_if_uninterrupted(self, run="run"):
        if not (self.folder / "uninterrupted").exists():
            code, out, err = self.train("small.yaml", "--run-dir", "uninterrupted", "--set", f"train.steps={STEPS}", "--set",
                                        SETTLED, ranks=2)
            self.assertEqual(code, 0, out + err)
        self.assertEqual(self.losses(run), self.losses("uninterrupted"))
        self.assertEqual(len(self.losses(run)), STEPS)

    def assert_everything_committed_verifies(self, run="run"):
        self.assertTrue(self.saved_steps(run))
        code, out, err = self.run_command(HETMOE, "checkpoint", "verify", run)
        self.assertEqual(code, 0, out + err)
