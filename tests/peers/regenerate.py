"""Writes (or with --check verifies) reference/NAME.json for every case of reference/cases.json.

    regenerate.py --dump build/hetmoe_dump_state [--only NAME]... [--check]

Each case starts from the initial values and batches that the C++ program itself dumps. One token
routed otherwise moves a loss by 1e-2, so no tolerance survives a router that stands on a knife's
edge: of the seeds 1, 2, 3... the first is taken whose decisions are clear and whose losses are the
same in single and double precision. Run it after a change that is meant to alter initial values,
batches or the mathematics; everything else must leave the stored files as they are, which --check
proves.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import torch

from make_reference import reference, summary, train, write_reference
from training_state import StateError, read_state

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path("tests/peers/reference")  # relative to ROOT, as the tests see it
CONFIG_FILE = FOLDER / "base.yaml"
TEXT_FILE = FOLDER / "text.txt"
STEPS = 50
SEEDS = range(1, 41)
CLEAR_MARGIN = 1.5e-6  # in router probability; single precision disturbs the last steps by some 1e-7
SAME_LOSS = 1e-5
TOLERANCE = 1e-6  # initial values may differ in the last bit where the C library does


class CaseError(Exception):
    """The dump failed or the stored file does not hold; one line."""


def dump(program: pathlib.Path, settings: list[str], out: pathlib.Path) -> None:
    command = [str(program), str(CONFIG_FILE), "--text", str(TEXT_FILE)]
    command += ["--out", str(out), "--steps", str(STEPS)]
    for setting in settings:
        command += ["--set", setting]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise CaseError(f"{program.name} ended with code {result.returncode}: {lines[-1]}")


def run_case(
    program: pathlib.Path, settings: list[str], least_margin: float = 0.0
) -> dict[str, Any] | None:
    """None when a step's routing margin was below `least_margin`."""
    with tempfile.TemporaryDirectory() as folder:
        dump(program, settings, pathlib.Path(folder))
        state = read_state(pathlib.Path(folder))
    double, gradients = train(state, torch.float64, least_margin)
    if double[-1].routing_margin < least_margin:
        return None
    single, _ = train(state, torch.float32)
    difference = max(abs(a.loss - b.loss) for a, b in zip(double, single, strict=True))
    case = {"config_file": str(CONFIG_FILE), "set": settings, "fp32_loss_difference": difference}
    return case | reference(double, gradients, "fp64")


def make_case(program: pathlib.Path, settings: list[str]) -> dict[str, Any]:
    for seed in SEEDS:
        made = run_case(program, [*settings, f"train.seed={seed}"], CLEAR_MARGIN)
        if made is not None and made["fp32_loss_difference"] < SAME_LOSS:
            return made
    raise CaseError(f"no seed in {SEEDS.start}..{SEEDS.stop - 1} routes clearly; try another case")


def first_difference(stored: Any, made: Any, where: str = "") -> str:
    """Where two documents differ beyond the tolerance, "" when nowhere."""
    if isinstance(stored, dict) and isinstance(made, dict):
        if stored.keys() != made.keys():
            return f"{where}: keys {sorted(stored.keys() ^ made.keys())}"
        pairs = ((f"{where}.{key}", stored[key], made[key]) for key in stored)
    elif isinstance(stored, list) and isinstance(made, list):
        if len(stored) != len(made):
            return f"{where}: {len(stored)} stored, {len(made)} made"
        pairs = ((f"{where}[{i}]", *pair) for i, pair in enumerate(zip(stored, made)))
    elif isinstance(stored, float) and isinstance(made, float):
        same = math.isclose(stored, made, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        return "" if same else f"{where}: {stored!r} stored, {made!r} made"
    else:
        return "" if stored == made else f"{where}: {stored!r} stored, {made!r} made"
    return next((text for pair in pairs if (text := first_difference(*pair[1:], pair[0]))), "")


def check(program: pathlib.Path, path: pathlib.Path, settings: list[str]) -> dict[str, Any]:
    """Runs the stored case, seed included, again."""
    stored = json.loads(path.read_text())
    if stored["set"][:-1] != settings:
        raise CaseError(f"stored for {stored['set'][:-1]}, cases.json has {settings}")
    made = run_case(program, stored["set"])
    # Margins and single precision are as sharp as rounding itself.
    ignored = {"torch", "routing_margin", "fp32_loss_difference"}
    difference = first_difference(
        *({key: value for key, value in d.items() if key not in ignored} for d in (stored, made))
    )
    if difference:
        raise CaseError(f"differs at {difference.lstrip('.')}")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dump", type=pathlib.Path, required=True)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = json.loads((ROOT / FOLDER / "cases.json").read_text())
    if unknown := set(arguments.only) - {case["name"] for case in cases}:
        print(f"regenerate: no case named {sorted(unknown)[0]}", file=sys.stderr)
        return 2
    failed = 0
    for case in cases:
        if arguments.only and case["name"] not in arguments.only:
            continue
        path = ROOT / FOLDER / f"{case['name']}.json"
        try:
            if arguments.check:
                made = check(arguments.dump.resolve(), path, case["set"])
            else:
                made = make_case(arguments.dump.resolve(), case["set"])
                write_reference(path, made)
            print(f"{case['name']}: {made['set'][-1]}, {summary(made)}", file=sys.stderr)
        except (CaseError, StateError, OSError, ValueError, KeyError) as error:
            print(f"regenerate: {case['name']}: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
