"""The program beside its peers on the CPU at hand: JSON lines, one per case and setting, then one table.

    beside_peers.py [--sizes S,M,L] [--precisions bf16,fp32] [--threads 1,2] [--ranks 1,2] [--cases NAME,...]
                    [--rounds 3] [--steps 8] [--warm-up STEPS] [--build FOLDER] [--peer PYTHON]

Every measurement is a process of its own on cores of its own. A round runs every case of a setting once, each
between two measurements of the yardstick (the rate of a 2048 x 1024 x 2048 `at::mm` of the same type and threads,
by a process that stays); figures are medians over the rounds, a run's own over its steps after the warm-up (of the size,
tests/peers/training_sizes.py, unless --warm-up says how many). A case
that fails prints a line with "error", the others go on, and the exit code is 1. README.md says what a line holds.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys

import measured_process
import own_program

PROJECT = own_program.PROJECT
PEERS = PROJECT / "tests" / "peers"
sys.path.insert(0, str(PEERS))
from training_sizes import SIZES  # noqa: E402

LONGEST_SECONDS = 1800
TUNED = "tuned_speed.py"
TRANSFORMERS = "transformers_speed.py"
PEER_CASES = {
    "tuned": (TUNED, []),
    "tuned_compiled": (TUNED, ["--compile"]),
    "equal_widths": (TUNED, ["--compile", "--experts", "equal"]),
    "padded_widths": (TUNED, ["--compile", "--experts", "padded"]),
    # Of its ways to compute experts on a CPU grouped_mm is the fastest (transformers_speed.py tries all).
    "transformers_same_memory": (TRANSFORMERS, ["--implementations", "grouped_mm", "--memory-settings"]),
    "transformers_installed": (TRANSFORMERS, ["--implementations", "grouped_mm"]),
}
OWN = "hetmoe"
MEDIANS = ("tokens_per_second", "model_flops_per_second", "yardstick_flops_per_second", "yardstick_ratio",
           "start_seconds", "first_step_seconds", "data_share")


@dataclasses.dataclass(frozen=True)
class Setting:
    size: str
    precision: str
    threads: int
    ranks: int

    def fields(self):
        return dataclasses.asdict(self)


class Yardstick:
    """A process that measures when it is asked, and waits meanwhile."""

    def __init__(self, peer, precision, threads):
        command = measured_process.pinned(threads, [str(peer), "-B", str(PEERS / "yardstick.py"), "--precision",
                                                    precision, "--threads", str(threads)])
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, OMP_NUM_THREADS=str(threads)))

    def flops_per_second(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the yardstick has ended")
        return float(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # it has ended
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.summaries = []
        self.failed = False

    def own(self, setting):
        wanted = self.arguments
        return own_program.measure(wanted.build, SIZES[setting.size], setting.precision, setting.threads,
                                   setting.ranks, wanted.steps, self.warm_up(setting))

    def warm_up(self, setting):
        return self.arguments.warm_up or SIZES[setting.size].warm_up_steps

    def peer(self, case, setting):
        script, options = PEER_CASES[case]
        command = [self.arguments.peer, "-B", PEERS / script, "--size", setting.size, "--precision", setting.precision,
                   "--threads", setting.threads, "--rounds", self.arguments.steps, "--warm-up", self.warm_up(setting),
                   *options]
        environment = dict(os.environ, OMP_NUM_THREADS=str(setting.threads))
        done = measured_process.run(measured_process.pinned(setting.threads, command), LONGEST_SECONDS,
                                    env=environment)
        line = json.loads(done.output.splitlines()[-1])
        for key in ("size", "precision", "threads"):
            if line[key] != getattr(setting, key):
                raise RuntimeError(f"{key} {line[key]} ran, {getattr(setting, key)} was asked for")
        kept = ("widths", "experts", "steps", "tokens_per_second", "model_flops_per_second", "first_step_seconds",
                "versions", "memory_settings", "implementation", "attention")
        return {**{key: line[key] for key in kept if key in line}, "ranks": 1,
                "peak_memory_bytes": done.peak_memory_bytes, "start_seconds": line["first_step_began"] - done.began}

    def cases(self, setting):
        """Peers are one process; the program also trains on several."""
        return [case for case in self.arguments.cases if case == OWN or setting.ranks == 1]

    def measure(self, setting):
        runs = {case: [] for case in self.cases(setting)}
        errors = {}
        with Yardstick(self.arguments.peer, setting.precision, setting.threads * setting.ranks) as yardstick:
            for _, case in itertools.product(range(self.arguments.rounds), runs):
                if case in errors:
                    continue
                try:
                    before = yardstick.flops_per_second()
                    run = self.own(setting) if case == OWN else self.peer(case, setting)
                    run["yardstick_flops_per_second"] = (before + yardstick.flops_per_second()) / 2
                # A line that is not JSON (ValueError) or lacks something ends its own case alone.
                except (RuntimeError, OSError, KeyError, IndexError, ValueError) as error:
                    errors[case] = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[-1]
                    continue
                run["yardstick_ratio"] = run["model_flops_per_second"] / run["yardstick_flops_per_second"]
                runs[case].append(run)
                print(f"{case} {setting}: {run['tokens_per_second']:.0f} tokens/s", file=sys.stderr, flush=True)
        for case, done in runs.items():
            if case in errors:
                self.failed = True
                self.emit({"case": case, **setting.fields(), "error": errors[case]})
            else:
                self.emit(summary(case, setting, done))

    def emit(self, line):
        self.summaries.append(line)
        print(json.dumps(line), flush=True)

    def all(self):
        wanted = self.arguments
        for values in itertools.product(wanted.sizes, wanted.precisions, wanted.threads, wanted.ranks):
            setting = Setting(*values)
            if setting.ranks > 1 and setting.threads > 1:
                continue
            try:
                self.measure(setting)
            except (RuntimeError, OSError) as error:  # no yardstick: nothing of this setting can be measured
                self.failed = True
                for case in self.cases(setting):
                    self.emit({"case": case, **setting.fields(), "error": str(error)})
        print("\n" + table(self.summaries))
        return 1 if self.failed else 0


def summary(case, setting, runs):
    rates = [run["tokens_per_second"] for run in runs]
    line = {"case": case, **setting.fields(), "rounds": len(runs), **runs[-1]}
    line.update({key: statistics.median(run[key] for run in runs) for key in MEDIANS if key in runs[-1]})
    line["peak_memory_bytes"] = max(run["peak_memory_bytes"] for run in runs)
    line["spread"] = (max(rates) - min(rates)) / statistics.median(rates)
    return line


def table(summaries):
    """Markdown. The last column is the program's FLOP/s over the case's, same size, type, threads, one rank."""
    own = {key_of(line): line for line in summaries if line["case"] == OWN and "error" not in line}
    rows = [["size", "type", "threads x ranks", "case", "tokens/s", "spread", "GFLOP/s", "of yardstick", "peak GiB",
             "start s", "first step s", "data", "hetmoe is"]]
    rows.append(["---"] * len(rows[0]))
    for line in summaries:
        head = [line["size"], line["precision"], f"{line['threads']} x {line['ranks']}", line["case"]]
        if "error" in line:
            rows.append([*head, "failed", *[""] * (len(rows[0]) - 5)])
            continue
        ours = own.get(key_of(line))
        times = f"{ours['model_flops_per_second'] / line['model_flops_per_second']:.2f} x" if ours else ""
        rows.append([
            *head, f"{line['tokens_per_second']:.0f}", f"{100 * line['spread']:.1f} %" if line["rounds"] > 1 else "",
            f"{line['model_flops_per_second'] / 1e9:.0f}", f"{100 * line['yardstick_ratio']:.1f} %",
            f"{line['peak_memory_bytes'] / 2**30:.2f}", f"{line['start_seconds']:.1f}",
            f"{line['first_step_seconds']:.1f}",
            f"{100 * line['data_share']:.2f} %" if "data_share" in line else "", times])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("| " + " | ".join(word.ljust(width, "-" if word == "---" else " ")
                                       for word, width in zip(row, widths)) + " |" for row in rows)


def key_of(line):
    return line["size"], line["precision"], line["threads"], line["ranks"]


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def some_of(known):
        def parse(text):
            found = [type(next(iter(known)))(word) for word in text.split(",")]
            wrong = [word for word in found if word not in known]
            if wrong:
                raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(map(str, known))}")
            return found
        return parse

    def positive(text):
        if not text.isdigit() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
        return int(text)

    counts = range(1, 1 + (os.cpu_count() or 1))
    known_cases = [OWN, *PEER_CASES]
    parser.add_argument("--sizes", type=some_of(SIZES), default=["S", "M", "L"])
    parser.add_argument("--precisions", type=some_of(("bf16", "fp32")), default=["bf16", "fp32"])
    parser.add_argument("--threads", type=some_of(counts), default=[1, 2])
    parser.add_argument("--ranks", type=some_of(counts), default=[1, 2])
    parser.add_argument("--cases", type=some_of(known_cases), default=known_cases, help=",".join(known_cases))
    for name, default in (("rounds", 3), ("steps", 8), ("warm-up", None)):
        parser.add_argument(f"--{name}", type=positive, default=default)
    parser.add_argument("--build", type=pathlib.Path, default=PROJECT / "build")
    parser.add_argument("--peer", type=pathlib.Path, default=PROJECT / ".deps" / "peers" / "bin" / "python",
                        help="a Python with torch and transformers (tests/peers/setup.sh)")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(Suite(parse_arguments()).all())
