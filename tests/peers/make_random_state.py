"""Writes a small random state folder in the format of `hetmoe_dump_state`, for own checks.

    make_random_state.py --out DIR [--steps N] [--set a.b=c]...
"""

from __future__ import annotations

import argparse
import copy
import json
import pathlib
import sys
from typing import Any

import torch

from reference_model import parameter_shapes
from training_state import model_config

WIDTHS = [9, 11, 13, 15, 17, 19, 21, 23]
CONFIG = {
    "model": {
        "vocab_size": 67,
        "hidden_size": 24,
        "num_layers": 2,
        "num_heads": 3,
        "num_kv_heads": 3,
        "head_dim": 0,
        "rope_theta": 10000,
        "norm_epsilon": 1e-5,
        "qk_norm": False,
        "tie_embeddings": False,
        "hyper": {"enabled": False},
        "experts": {"count": 8, "widths": WIDTHS},
        "router": {
            "kind": "top_k",
            "top_k": 2,
            "top_p": 0.6,
            "renormalize": "auto",
            "forced": "none",
            "parameter_penalty": 0.1,
            "load_balance": 0.01,
            "entropy": 0.03,
            "penalty_form": "paper",
        },
    },
    "data": {"attention_across_documents": True},
    "train": {
        "steps": 50,
        "global_batch": 4,
        "microbatches": 2,
        "sequence_length": 16,
        "learning_rate": 3e-3,
        "warmup_steps": 5,
        "schedule": "constant",
        "min_learning_rate_ratio": 0.1,
        "beta1": 0.9,
        "beta2": 0.999,
        "adam_epsilon": 1e-8,
        "weight_decay": 0.1,
        "clip_norm": 1.0,
        "seed": 1,
    },
}


def with_setting(config: dict[str, Any], setting: str) -> dict[str, Any]:
    """A copy of the configuration with "a.b=value" put in; the value is JSON or a bare word."""
    key, _, text = setting.partition("=")
    *parents, last = key.split(".")
    result = copy.deepcopy(config)
    node = result
    for parent in parents:
        node = node[parent]
    try:
        node[last] = json.loads(text)
    except json.JSONDecodeError:
        node[last] = text
    return result


def random_parameters(config: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = config["model"]["hidden_size"]
    widths = config["model"]["experts"]["widths"]
    gates = {f"layers.0.experts.{e}.gate": (width, hidden) for e, width in enumerate(widths)}
    shapes = parameter_shapes(model_config(config, gates))
    return {
        name: torch.randn(shape, generator=generator) * 0.1 + (1.0 if len(shape) == 1 else 0.0)
        for name, shape in shapes.items()
    }


def random_tokens(config: dict[str, Any], steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Skewed ids with a rule that can be learnt: the next token is often the present one plus 1."""
    train, vocab_size = config["train"], config["model"]["vocab_size"]
    generator = torch.Generator().manual_seed(train["seed"] + 1)
    shape = (steps, train["global_batch"], train["sequence_length"] + 1)
    tokens = (torch.rand(shape, generator=generator).square() * vocab_size).long()
    for position in range(1, shape[2]):
        follows = torch.rand(shape[:2], generator=generator) < 0.8
        successor = (tokens[..., position - 1] + 1) % vocab_size
        tokens[..., position] = torch.where(follows, successor, tokens[..., position])
    return tokens[..., :-1], tokens[..., 1:]


def write_state(folder: pathlib.Path, config: dict[str, Any], steps: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    parameters = random_parameters(config, config["train"]["seed"])
    tensors, offset = [], 0
    with (folder / "parameters.f32").open("wb") as file:
        for name, tensor in parameters.items():
            tensors.append({"name": name, "shape": list(tensor.shape), "offset_floats": offset})
            offset += tensor.numel()
            file.write(tensor.numpy().astype("<f4").tobytes())
    inputs, targets = random_tokens(config, steps)
    second_half = torch.arange(inputs.shape[2]) >= inputs.shape[2] // 2
    begin = (second_half * (inputs.shape[2] // 2)).expand_as(inputs)  # two documents in a row
    for name, values in (("inputs", inputs), ("targets", targets), ("document_begin", begin)):
        values.numpy().astype("<i4").tofile(folder / f"{name}.i32")
    names = ("global_batch", "sequence_length", "microbatches")
    batches = {name: config["train"][name] for name in names}
    state = {"config": config, "tensors": tensors, "steps": steps, "batches": batches}
    (folder / "state.json").write_text(json.dumps(state, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    config = CONFIG
    for setting in arguments.set:
        config = with_setting(config, setting)
    write_state(arguments.out, config, arguments.steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
