"""How the cost of training grows: tokens/s of `hetmoe train` as one thing grows, beside what linear cost would give.

    growth.py [tokens|experts|ranks|sequence ...] [--rounds 3] [--steps 6] [--warm-up 20] [--threads 1] [--precision bf16]
              [--build FOLDER] [--tiny]

tokens    sequences of a batch: 4, 8, 16, 32 of 256 tokens
experts   8, 16, 32, 64 of the same mean width, top-2: equal active FLOPs
ranks     1, 2, 4 of one thread, same batch; as many as there are processors
sequence  256, 1,024, 4,096 positions, 8,192 tokens a batch

One JSON line per value, in rounds that alternate over the values; medians, and "over_linear": seconds of a step over
those of the first value, over what they would be were cost linear. Linear is, for tokens and experts: seconds per
token stay; ranks: seconds times ranks stay; sequence: seconds per FLOP stay, for attention grows by itself.
A value that fails prints its "error", and the exit code is 1.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import sys

import own_program

sys.path.insert(0, str(own_program.PROJECT / "tests" / "peers"))
from training_sizes import SIZES  # noqa: E402

BASE = SIZES["S"]


def values_of(kind, is_tiny):
    """(value, size, ranks) of each run. What grows costs nothing but itself: hidden, layers, widths stay."""
    base = SIZES["tiny"] if is_tiny else BASE
    if kind == "tokens":
        return [(count * base.length, dataclasses.replace(base, sequences=count), 1)
                for count in ((1, 2) if is_tiny else (4, 8, 16, 32))]
    if kind == "experts":
        return [(count, dataclasses.replace(base, experts=count), 1) for count in ((4, 8) if is_tiny else (8, 16, 32, 64))]
    if kind == "ranks":
        return [(count, base, count) for count in (1, 2, 4) if count <= max(2, len(os.sched_getaffinity(0)))]
    batch = base.tokens if is_tiny else 8192
    return [(length, dataclasses.replace(base, length=length, sequences=batch // length), 1)
            for length in ((12, 24) if is_tiny else (256, 1024, 4096))]


def work_of(kind, line, size):
    """What the seconds of a step would be in proportion to, were cost linear."""
    if kind == "ranks":
        return 1 / line["ranks"]
    if kind == "sequence":
        return size.tokens * line["model_flops_per_second"] / line["tokens_per_second"]
    return size.tokens


def measure(kind, arguments):
    runs, errors = {}, {}
    values = values_of(kind, arguments.tiny)
    for _ in range(arguments.rounds):
        for value, size, ranks in values:
            if value in errors:
                continue
            try:
                run = own_program.measure(arguments.build, size, arguments.precision, arguments.threads, ranks,
                                          arguments.steps, arguments.warm_up)
                runs.setdefault(value, []).append(run)
            except (RuntimeError, OSError, KeyError, ValueError) as error:
                errors[value] = str(error).splitlines()[-1]
    first = None
    for value, size, _ in values:
        if value in errors:
            yield {"case": f"growth in {kind}", "value": value, "error": errors[value]}
            continue
        line = {**runs[value][-1]}
        for key in ("tokens_per_second", "model_flops_per_second"):
            line[key] = statistics.median(run[key] for run in runs[value])
        seconds = size.tokens / line["tokens_per_second"]
        cost = seconds / work_of(kind, line, size)
        first = first or cost
        speeds = [run["tokens_per_second"] for run in runs[value]]
        yield {"case": f"growth in {kind}", "value": value, **line, "tokens": size.tokens, "sequence": size.length,
               "experts": size.experts, "rounds": len(runs[value]), "step_seconds": seconds,
               "spread": (max(speeds) - min(speeds)) / statistics.median(speeds), "over_linear": cost / first}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ("tokens", "experts", "ranks", "sequence")
    parser.add_argument("kinds", nargs="*", choices=(*kinds, []), default=[])
    for name, default in (("rounds", 3), ("steps", 6), ("warm-up", BASE.warm_up_steps), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--build", type=pathlib.Path, default=own_program.PROJECT / "build")
    parser.add_argument("--tiny", action="store_true", help="sizes that say nothing: whether it runs")
    arguments = parser.parse_args()
    failed = False
    for kind in arguments.kinds or kinds:
        for line in measure(kind, arguments):
            failed |= "error" in line
            print(json.dumps(line), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
