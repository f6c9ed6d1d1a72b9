"""Speed of a training step of the tuned trainer (tuned_model.py). One JSON line.

    tuned_speed.py [--size S|M|L] [--precision bf16|fp32] [--threads 1] [--compile]
                   [--experts unequal|equal|padded] [--rounds 7] [--warm-up 3]

A step: forward, backward, clipping, AdamW with fp32 masters. --experts: `equal` has all of the mean
width, `padded` has all of the largest one and FLOPs counted without the padding. Tokens/s is the
median of the rounds; a round is a step after the yardstick, a 2048 x 1024 x 2048 product.
With --compile what is not a product goes through torch.compile.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import sys
import time

from process_settings import COMPILER, HUGE_PAGES, restart_with
from training_sizes import HEAD_DIM, SIZES, TrainingSize, arithmetic_widths


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="M")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--experts", choices=("unequal", "equal", "padded"), default="unequal")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    ARGUMENTS = parse_arguments()
    os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)
    restart_with({**HUGE_PAGES, **COMPILER})

import torch  # noqa: E402

import tuned_experts  # noqa: E402
import tuned_passes  # noqa: E402
from reference_model import ModelConfig  # noqa: E402
from tuned_model import Model  # noqa: E402
from tuned_optimizer import AdamW  # noqa: E402
from yardstick import yardstick_flops_per_second  # noqa: E402


def widths_of(size: TrainingSize, experts: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths that are computed, and those that count."""
    unequal = arithmetic_widths(size.experts, size.mean_width)
    if experts == "equal":
        return (size.mean_width,) * size.experts, (size.mean_width,) * size.experts
    return ((max(unequal),) * size.experts if experts == "padded" else unequal), unequal


def model_of(size: TrainingSize, experts: str, dtype: torch.dtype) -> Model:
    computed, counted = widths_of(size, experts)
    config = ModelConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        num_layers=size.layers,
        num_heads=size.heads,
        num_kv_heads=size.heads,
        head_dim=HEAD_DIM,
        widths=computed,
        top_k=size.top_k,
    )
    model = Model(config, size.length, dtype)
    model.draw()
    model.cut_experts_to(counted)
    return model


class Trainer:
    def __init__(self, size: TrainingSize, experts: str, dtype: torch.dtype):
        self.size = size
        self.model = model_of(size, experts, dtype)
        self.optimizer = AdamW(self.model.parameters, 1e-4)
        self.counted = torch.tensor(widths_of(size, experts)[1])

    def step(self) -> tuple[float, float]:
        """Seconds and FLOPs."""
        size = self.size
        text = torch.randint(size.vocabulary, (size.sequences, size.length + 1))
        begin = time.perf_counter()
        loss = self.model.loss_and_gradients(text[:, :-1], text[:, 1:])
        self.optimizer.step()
        seconds = time.perf_counter() - begin
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"loss is {loss.item()}")
        return seconds, size.flops_per_step(float(self.model.selected @ self.counted))

    def prime(self) -> None:
        with torch.no_grad():
            matrices = self.model.matrices(0, self.model.parameters.weights)
            tuned_experts.prime(self.size.tokens, self.size.hidden, matrices, self.size.top_k)


def main() -> int:
    torch.set_num_threads(ARGUMENTS.threads)
    torch.manual_seed(1)
    if ARGUMENTS.compile:
        tuned_passes.compile_passes()
    dtype = torch.bfloat16 if ARGUMENTS.precision == "bf16" else torch.float32
    trainer = Trainer(SIZES[ARGUMENTS.size], ARGUMENTS.experts, dtype)
    began = time.time()
    first_seconds, _ = trainer.step()
    trainer.prime()
    for _ in range(ARGUMENTS.warm_up):
        trainer.step()
    yardsticks, steps = [], []
    for _ in range(ARGUMENTS.rounds):
        yardsticks.append(yardstick_flops_per_second(dtype))
        steps.append(trainer.step())
    speeds = [trainer.size.tokens / seconds for seconds, _ in steps]
    rates = [flops / seconds for seconds, flops in steps]
    line = {
        "case": "pytorch_tuned" + ("_compiled" if ARGUMENTS.compile else ""),
        "size": ARGUMENTS.size,
        "precision": "bf16" if trainer.model.parameters.dtype == torch.bfloat16 else "fp32",
        "threads": torch.get_num_threads(),
        "experts": ARGUMENTS.experts,
        "widths": trainer.model.config.widths,
        "memory_settings": all(os.environ.get(k) == v for k, v in HUGE_PAGES.items()),
        "steps": len(steps),
        "tokens_per_second": statistics.median(speeds),
        "spread": (max(speeds) - min(speeds)) / statistics.median(speeds),
        "model_flops_per_second": statistics.median(rates),
        "yardstick_flops_per_second": statistics.median(yardsticks),
        "yardstick_ratio": statistics.median(r / y for r, y in zip(rates, yardsticks)),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "first_step_began": began,
        "first_step_seconds": first_seconds,
        "versions": {"torch": torch.__version__},
    }
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
