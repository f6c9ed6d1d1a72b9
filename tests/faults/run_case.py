"""What tests share that kill a run of two ranks: the run, its processes, what it has committed."""

import os
import pathlib
import random

from command_line import HETMOE, CommandLineCase, mpirun

KILLS = int(os.environ.get("HETMOE_KILLS", "8"))
SEED = int(os.environ.get("HETMOE_SEED", str(random.randrange(10**6))))
STEPS = 100
MODEL = ("train.learning_rate=0.01", "model.hidden_size=64", "model.vocab_size=2048", "train.global_batch=8")


class RunCase(CommandLineCase):
    def command(self, run, settings):
        words = [word for setting in MODEL + tuple(settings) for word in ("--set", setting)]
        return mpirun(2, HETMOE, "train", "small.yaml", "--run-dir", run, *words)

    def train_to(self, run, steps, settings):
        process = self.start(*self.command(run, (*settings, f"train.steps={steps}")))
        out, err = process.communicate(timeout=60 + KILLS)
        self.assertEqual(process.returncode, 0, out + err)

    def losses(self, run):
        lines = {line["step"]: line for line in self.read_lines(f"{run}/metrics.jsonl") if "loss" in line}
        return [lines[step]["loss"] for step in sorted(lines)]

    def ranks_of(self, run):
        """Process ids of the ranks, and not of mpirun, whose command line names the run directory too."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                in_folder = os.path.samefile(entry / "cwd", self.folder)
                if words[0] == str(HETMOE).encode() and run.encode() in words and in_folder:
                    found.append(int(entry.name))
            except (OSError, ValueError):
                pass  # it ended while we looked, or is no process
        return found

    def newest_step(self, run):
        markers = self.folder.glob(f"{run}/checkpoints/step-????????/COMMITTED")
        return max((int(marker.parent.name[5:]) for marker in markers), default=0)

    def assert_everything_committed_verifies(self, run):
        if self.newest_step(run) > 0:
            code, out, err = self.run_command(HETMOE, "checkpoint", "verify", run)
            self.assertEqual(code, 0, out + err)
