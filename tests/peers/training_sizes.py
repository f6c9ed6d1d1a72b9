"""Sizes of models and batches that the program and its peers are compared at; no PyTorch here.

FLOPs are those of `model_flops_per_second` in the program's metrics: three times the forward ones,
2mnk of every product, causal half of attention, router, head, and of the experts those that tokens
selected, each with its own width, without any padding; no embedding.
"""

from __future__ import annotations

import dataclasses

HEAD_DIM = 64


@dataclasses.dataclass(frozen=True)
class TrainingSize:
    hidden: int
    layers: int
    mean_width: int
    vocabulary: int
    sequences: int
    length: int
    experts: int = 8
    top_k: int = 2
    # Steps until a process's memory stops growing, ours and the peers': where steps are short, more of them.
    warm_up_steps: int = 3

    @property
    def tokens(self) -> int:
        return self.sequences * self.length

    @property
    def heads(self) -> int:
        return self.hidden // HEAD_DIM

    def flops_per_step(self, selected_widths: float) -> float:
        """selected_widths: sum over all layers and tokens of the widths of the selected experts."""
        attention = 8 * self.hidden * self.hidden + 2 * self.hidden * (self.length + 1)
        dense = attention + 2 * self.hidden * self.experts
        head = 2 * self.hidden * self.vocabulary
        return 3 * (
            self.tokens * (self.layers * dense + head) + 6 * self.hidden * selected_widths
        )


SIZES = {
    "S": TrainingSize(256, 4, 512, vocabulary=8192, sequences=16, length=256, warm_up_steps=20),
    "M": TrainingSize(512, 6, 1024, vocabulary=8192, sequences=8, length=256, warm_up_steps=6),
    "L": TrainingSize(768, 4, 1536, vocabulary=32000, sequences=4, length=512),
    "tiny": TrainingSize(64, 2, 64, vocabulary=97, sequences=2, length=24, experts=4),
}


def arithmetic_widths(count: int, mean: int) -> tuple[int, ...]:
    """Of the program: largest over smallest 2.56 (configs: shape arithmetic), multiples of 8."""
    smallest = 2 * mean / 3.56
    step = (2.56 - 1) * smallest / (count - 1)
    return tuple(round((smallest + i * step) / 8) * 8 for i in range(count))
