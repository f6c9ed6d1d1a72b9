"""Reads the folder that `hetmoe_dump_state` writes: configuration, initial values, batches.

state.json       {"config": resolved configuration, "tensors": [{"name", "shape", "offset_floats"}],
                  "steps": N,
                  "batches": {"global_batch": G, "sequence_length": S, "microbatches": M}}
parameters.f32   little-endian float32, tensors back to back
inputs.i32, targets.i32   little-endian int32 [N, G, S] in global-batch order; microbatch m holds
                  the sequences [m * G / M, (m + 1) * G / M)
document_begin.i32   likewise; only read when data.attention_across_documents is false
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import torch

from reference_model import ModelConfig


class StateError(Exception):
    """The folder is missing something or contradicts itself; one line, names file and value."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    steps: int  # of the schedule, not of the recording
    microbatches: int
    learning_rate: float
    warmup_steps: int
    schedule: str  # "constant" or "cosine"
    min_learning_rate_ratio: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    clip_norm: float  # 0: no clipping


@dataclasses.dataclass
class TrainingState:
    model: ModelConfig
    training: TrainingConfig
    parameters: dict[str, torch.Tensor]  # float32, in the order of the file
    inputs: torch.Tensor  # int64 [N, G, S]
    targets: torch.Tensor
    document_begin: torch.Tensor  # [N, G, S], where in its row the document of a position begins


def _value(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            raise StateError(f"state.json: configuration key '{key}' is missing")
        node = node[part]
    return node


def _number(config: dict[str, Any], key: str, kind: type) -> Any:
    value = _value(config, key)
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise StateError(f"state.json: {key} is {value!r}, expected {kind.__name__}") from error


def _word(config: dict[str, Any], key: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed words; truth values may come as JSON true or as the word."""
    value = str(_value(config, key))
    word = value.lower() if value in ("True", "False") else value
    if word not in allowed:
        raise StateError(f"state.json: {key} is {value!r}, the reference knows {list(allowed)}")
    return word


def _renormalize(config: dict[str, Any], kind: str, top_k: int) -> bool:
    word = _word(config, "model.router.renormalize", ("auto", "true", "false"))
    if word == "auto":
        return kind == "top_p" or top_k >= 2
    return word == "true"


def model_config(config: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> ModelConfig:
    """Widths come from the shapes, so that the reference repeats no rule about `shape`, `ratio`."""
    _word(config, "model.tie_embeddings", ("false",))
    _word(config, "model.hyper.enabled", ("false",))
    _word(config, "model.router.forced", ("none",))
    hidden = _number(config, "model.hidden_size", int)
    heads = _number(config, "model.num_heads", int)
    kind = _word(config, "model.router.kind", ("top_k", "top_p"))
    top_k = _number(config, "model.router.top_k", int)
    widths = []
    while (name := f"layers.0.experts.{len(widths)}.gate") in shapes:
        widths.append(shapes[name][0])
    count = _number(config, "model.experts.count", int)
    if count != len(widths):
        raise StateError(f"state.json: model.experts.count is {count}, tensors show {len(widths)}")
    return ModelConfig(
        vocab_size=_number(config, "model.vocab_size", int),
        hidden_size=hidden,
        num_layers=_number(config, "model.num_layers", int),
        num_heads=heads,
        num_kv_heads=_number(config, "model.num_kv_heads", int),
        head_dim=_number(config, "model.head_dim", int) or hidden // heads,
        widths=tuple(widths),
        rope_theta=_number(config, "model.rope_theta", float),
        norm_epsilon=_number(config, "model.norm_epsilon", float),
        qk_norm=_word(config, "model.qk_norm", ("false", "true")) == "true",
        router_kind=kind,
        top_k=top_k,
        top_p=_number(config, "model.router.top_p", float),
        renormalize=_renormalize(config, kind, top_k),
        parameter_penalty=_number(config, "model.router.parameter_penalty", float),
        load_balance=_number(config, "model.router.load_balance", float),
        router_entropy=_number(config, "model.router.entropy", float),
        penalty_form=_word(config, "model.router.penalty_form", ("paper", "released_code")),
    )


def training_config(config: dict[str, Any]) -> TrainingConfig:
    return TrainingConfig(
        steps=_number(config, "train.steps", int),
        microbatches=_number(config, "train.microbatches", int),
        learning_rate=_number(config, "train.learning_rate", float),
        warmup_steps=_number(config, "train.warmup_steps", int),
        schedule=_word(config, "train.schedule", ("constant", "cosine")),
        min_learning_rate_ratio=_number(config, "train.min_learning_rate_ratio", float),
        beta1=_number(config, "train.beta1", float),
        beta2=_number(config, "train.beta2", float),
        epsilon=_number(config, "train.adam_epsilon", float),
        weight_decay=_number(config, "train.weight_decay", float),
        clip_norm=_number(config, "train.clip_norm", float),
    )


def _array(path: pathlib.Path, dtype: str, count: int) -> np.ndarray:
    values = np.fromfile(path, dtype=dtype)
    if values.size != count:
        raise StateError(f"{path.name}: holds {values.size} values, state.json says {count}")
    return values


def _parameters(folder: pathlib.Path, entries: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    end = 0
    for entry in entries:
        if entry["offset_floats"] != end:
            raise StateError(
                f"state.json: tensor {entry['name']} starts at {entry['offset_floats']},"
                f" expected {end}"
            )
        end += int(np.prod(entry["shape"]))
    values = torch.from_numpy(_array(folder / "parameters.f32", "<f4", end))
    parameters = {}
    for entry in entries:
        offset, size = entry["offset_floats"], int(np.prod(entry["shape"]))
        parameters[entry["name"]] = values[offset : offset + size].view(entry["shape"]).clone()
    return parameters


def _integers(path: pathlib.Path, shape: tuple[int, ...], end: int) -> torch.Tensor:
    values = _array(path, "<i4", int(np.prod(shape)))
    if values.min() < 0 or values.max() >= end:
        raise StateError(
            f"{path.name}: values {values.min()}..{values.max()}, allowed are 0..{end - 1}"
        )
    return torch.from_numpy(values.astype(np.int64)).view(shape)


def read_state(folder: pathlib.Path) -> TrainingState:
    """Errors: StateError, OSError."""
    state = json.loads((folder / "state.json").read_text())
    parameters = _parameters(folder, state["tensors"])
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    model, training = model_config(state["config"], shapes), training_config(state["config"])
    batches = state["batches"]
    if batches["microbatches"] != training.microbatches:
        raise StateError(
            f"state.json: batches.microbatches is {batches['microbatches']},"
            f" train.microbatches is {training.microbatches}"
        )
    if batches["global_batch"] % training.microbatches:
        raise StateError(
            f"state.json: global_batch {batches['global_batch']} is not a multiple of"
            f" {training.microbatches} microbatches"
        )
    shape = (state["steps"], batches["global_batch"], batches["sequence_length"])
    inputs = _integers(folder / "inputs.i32", shape, model.vocab_size)
    targets = _integers(folder / "targets.i32", shape, model.vocab_size)
    document_begin = torch.zeros_like(inputs)
    if _word(state["config"], "data.attention_across_documents", ("true", "false")) == "false":
        document_begin = _integers(folder / "document_begin.i32", shape, shape[2])
    return TrainingState(model, training, parameters, inputs, targets, document_begin)
