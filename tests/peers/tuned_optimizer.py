"""Flat parameters of the tuned trainer, and AdamW on them.

fp32 masters and moments, gradients and what products read in the type of computation, each one
buffer: a step reads and writes each once. Matrices decay, norms do not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

import tuned_passes as passes

LINE = 1024  # elements; every tensor begins on one
CHUNK = 65536  # elements that stay in the cache between calls


class FlatParameters:
    """`weights` and `gradients` by name are views."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype):
        names = sorted(shapes, key=lambda name: len(shapes[name]))
        sizes = [math.prod(shapes[name]) for name in names]
        spans = [-(-size // LINE) * LINE for size in sizes]
        self.dtype = dtype
        self.not_decaying = sum(s for s, name in zip(spans, names) if len(shapes[name]) == 1)
        self.master = torch.zeros(sum(spans))
        self.gradient = torch.zeros(sum(spans), dtype=dtype)
        self.weight = self.master if dtype == torch.float32 else torch.empty_like(self.gradient)

        def views(flat: Tensor) -> dict[str, Tensor]:
            return {
                name: part[:size].view(shapes[name])
                for name, size, part in zip(names, sizes, flat.split(spans))
            }

        self.masters, self.weights = views(self.master), views(self.weight)
        self.gradients = views(self.gradient)

    def prepare(self) -> None:
        """After masters were set: what products read."""
        if self.weight is not self.master:
            self.weight.copy_(self.master)


class AdamW:
    def __init__(self, parameters: FlatParameters, learning_rate: float):
        self.parameters = parameters
        self.factors = passes.AdamWFactors(learning_rate)
        self.moments = [torch.zeros_like(parameters.master) for _ in range(2)]
        self.updates = torch.zeros(())

    def step(self, clip_norm: float = 1.0) -> None:
        parameters = self.parameters
        norm = passes.sum_of_squares(parameters.gradient, CHUNK).sqrt()
        divisor = torch.clamp(norm / clip_norm, min=1.0)
        self.updates += 1
        end = parameters.master.numel()
        for part, decay in (
            (slice(0, parameters.not_decaying), 0.0),
            (slice(parameters.not_decaying, end), 0.1),
        ):
            master = parameters.master[part]
            weight = master if parameters.weight is parameters.master else parameters.weight[part]
            passes.adamw(
                self.factors, CHUNK, decay, self.updates, divisor, parameters.gradient[part],
                weight, master, *(moment[part] for moment in self.moments),
            )  # fmt: skip
