"""Trains the plain PyTorch model on a recorded state and writes what the C++ tests compare with.

    make_reference.py --state DIR --out FILE.json [--precision fp64|fp32] [--gradients OUT.f32]
                      [--config-file NAME] [--set a.b=c]...
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import torch

from reference_training import ReferenceTrainer, StepRecord
from training_state import StateError, TrainingState, read_state

PROJECTIONS = 8


def projections(gradient: torch.Tensor) -> list[float]:
    """Dot products with w_k[i] = cos(0.7 (k + 1) + 0.013 (k + 1) i), k = 0..7, summed in fp64."""
    flat = gradient.flatten().double()
    index = torch.arange(flat.numel(), dtype=torch.float64)
    return [
        flat.dot(torch.cos(0.7 * k + 0.013 * k * index)).item() for k in range(1, PROJECTIONS + 1)
    ]


def describe_gradients(gradients: dict[str, torch.Tensor]) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "shape": list(gradient.shape),
            "norm": rounded([gradient.double().norm().item()])[0],
            "projections": rounded(projections(gradient)),
        }
        for name, gradient in gradients.items()
    ]


def write_gradients(path: pathlib.Path, gradients: dict[str, torch.Tensor]) -> None:
    """Little-endian float32, tensors back to back in the order of state.json."""
    with path.open("wb") as file:
        for gradient in gradients.values():
            file.write(gradient.float().numpy().astype("<f4").tobytes())


def rounded(values: list[float]) -> list[float]:
    """Twelve digits: far below every tolerance, and the files stay readable."""
    return [float(f"{value:.12g}") for value in values]


def train(
    state: TrainingState, dtype: torch.dtype, least_margin: float = 0.0
) -> tuple[list[StepRecord], dict[str, torch.Tensor]]:
    """Records of all steps and the summed gradients of step 1 before clipping. Ends after the first
    step whose routing margin is below `least_margin`."""
    trainer = ReferenceTrainer(state.model, state.training, state.parameters, dtype)
    records: list[StepRecord] = []
    first: dict[str, torch.Tensor] = {}
    for batch in zip(state.inputs, state.targets, state.document_begin, strict=True):
        records.append(trainer.train_step(*batch))
        first = first or trainer.gradients
        if records[-1].routing_margin < least_margin:
            break
    return records, first


def reference(
    records: list[StepRecord], gradients: dict[str, torch.Tensor], precision: str
) -> dict[str, object]:
    def series(read: Callable[[StepRecord], float]) -> list[float]:
        return rounded([read(record) for record in records])

    return {
        "precision": precision,
        "torch": torch.__version__,
        "steps": len(records),
        "loss": series(lambda record: record.loss),
        "aux": {
            name: series(lambda record, name=name: record.auxiliary[name])
            for name in records[0].auxiliary
        },
        "grad_norm": series(lambda record: record.grad_norm),
        "learning_rate": series(lambda record: record.learning_rate),
        # Smallest change of a router probability that would alter a selection, per step.
        "routing_margin": series(lambda record: record.routing_margin),
        "gradients": describe_gradients(gradients),
    }


def write_reference(path: pathlib.Path, document: dict[str, object]) -> None:
    """JSON with one line per key and per tensor, so that a change can be read in a diff."""
    lines = []
    for key, value in document.items():
        if key == "gradients":
            rows = ",\n  ".join(json.dumps(row) for row in value)
            lines.append(f'"{key}": [\n  {rows}\n ]')
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    path.write_text("{\n " + ",\n ".join(lines) + "\n}\n")


def summary(document: dict[str, Any]) -> str:
    loss, margin = document["loss"], document["routing_margin"]
    return (
        f"{len(loss)} steps, loss {loss[0]:.4f} -> {loss[-1]:.4f},"
        f" grad_norm {document['grad_norm'][0]:.4f},"
        f" routing margin step 1 {margin[0]:.1e}, all {min(margin):.1e}"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--state", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--precision", choices=("fp64", "fp32"), default="fp64")
    parser.add_argument("--gradients", type=pathlib.Path, help="complete gradients of step 1")
    parser.add_argument("--config-file", default="", help="recorded only")
    parser.add_argument("--set", action="append", default=[], help="recorded only")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    dtype = torch.float64 if arguments.precision == "fp64" else torch.float32
    try:
        records, gradients = train(read_state(arguments.state), dtype)
        if arguments.gradients:
            write_gradients(arguments.gradients, gradients)
        case = {"config_file": arguments.config_file, "set": arguments.set}
        document = case | reference(records, gradients, arguments.precision)
        write_reference(arguments.out, document)
    except (StateError, OSError, ValueError, KeyError) as error:
        print(f"make_reference: {type(error).__name__}: {error}", file=sys.stderr)
        return 3
    print(f"{arguments.out}: {summary(document)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
