"""One mixture layer of `transformers` (Mixtral, grouped_mm) whose unequal experts are padded to the widest.

    padded_mixture_speed.py [--device cuda|cpu] [--widths 2304,...] [--tokens 16384] [--rounds 15]

That is how unequal experts are run where all must have one shape; rows beyond an expert's width are zero, so it
computes the same function. bf16, forward and backward, alternating with a square matrix product; times of a GPU
are the device's own. Prints one JSON line. FLOPs are those of the unequal experts and the router: padding is no work
that anybody asked for. The output is compared with a plain loop over the unpadded experts before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no kernels from the network: as installed

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock  # noqa: E402

WIDTHS_OF_3B = "2304,2816,3328,3840,4352,4864,5376,5888"
WARM_UP_ROUNDS = 3
TOLERANCE = 2e-2  # bf16, sums in another order


def padded_block(widths: list[int], hidden_size: int, top_k: int, device: str) -> MixtralSparseMoeBlock:
    config = transformers.MixtralConfig(hidden_size=hidden_size, intermediate_size=max(widths),
                                        num_local_experts=len(widths), num_experts_per_tok=top_k)
    config._experts_implementation = "grouped_mm"
    torch.manual_seed(1)
    block = MixtralSparseMoeBlock(config)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(std=0.02)
        for expert, width in enumerate(widths):
            gate, up = block.experts.gate_up_proj[expert].chunk(2)
            gate[width:] = 0
            up[width:] = 0
            block.experts.down_proj[expert, :, width:] = 0
    return block.to(device=device, dtype=torch.bfloat16)


def plain_output(block: MixtralSparseMoeBlock, widths: list[int], x: torch.Tensor) -> torch.Tensor:
    """Token by token and expert by expert in fp32, each with its own width. [T, D]"""
    _, weights, experts = block.gate(x)
    result = torch.zeros_like(x, dtype=torch.float32)
    for expert, width in enumerate(widths):
        token, place = torch.where(experts == expert)
        gate, up = (part[:width].float() for part in block.experts.gate_up_proj[expert].chunk(2))
        rows = x[token].float()
        hidden = torch.nn.functional.silu(rows @ gate.T) * (rows @ up.T)
        rows = hidden @ block.experts.down_proj[expert, :, :width].float().T
        result.index_add_(0, token, rows * weights[token, place, None].float())
    return result


def difference_from_plain(block: MixtralSparseMoeBlock, widths: list[int], x: torch.Tensor) -> float:
    with torch.no_grad():
        expected = plain_output(block, widths, x)
        got = block(x[None])[0].float()
        return ((got - expected).norm() / expected.norm()).item()


def forward_flops(block: MixtralSparseMoeBlock, widths: list[int], x: torch.Tensor) -> float:
    """2 m n k of the products of router and selected experts, unpadded."""
    tokens, hidden_size = x.shape
    with torch.no_grad():
        selected = torch.bincount(block.gate(x)[2].flatten(), minlength=len(widths)).tolist()
    units = sum(count * width for count, width in zip(selected, widths))
    return 2.0 * hidden_size * (3 * units + tokens * len(widths))


class Clock:
    """Seconds between marks, by the device's clock if it has one."""

    def __init__(self, device: str):
        self.on_gpu = device != "cpu"
        self.marks: list[object] = []

    def mark(self) -> None:
        if self.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append(event)
        else:
            self.marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        if self.on_gpu:
            self.marks[-1].synchronize()
            return [a.elapsed_time(b) / 1e3 for a, b in zip(self.marks, self.marks[1:])]
        return [b - a for a, b in zip(self.marks, self.marks[1:])]


def time_once(block: MixtralSparseMoeBlock, x: torch.Tensor, dy: torch.Tensor, ahead: Callable[[], object]) -> list[float]:
    """`ahead` is not timed: while a GPU is busy with it, the host gets ahead, as in training."""
    clock = Clock(x.device.type)
    for parameter in [x, *block.parameters()]:
        parameter.grad = None
    ahead()
    clock.mark()
    y = block(x[None])[0]
    clock.mark()
    y.backward(dy)
    clock.mark()
    return clock.seconds()


def time_square(a: torch.Tensor, b: torch.Tensor) -> float:
    clock = Clock(a.device.type)
    torch.mm(a, b)  # as in time_once
    clock.mark()
    torch.mm(a, b)
    clock.mark()
    return clock.seconds()[0]


def part(seconds: list[float], flops: float, square_rate: float) -> dict[str, float]:
    rate = flops / statistics.median(seconds)
    return {"median_seconds": statistics.median(seconds), "lowest_seconds": min(seconds),
            "highest_seconds": max(seconds), "flops_per_second": rate, "share_of_square": rate / square_rate}


def measure(device: str, widths: list[int], hidden_size: int, top_k: int, tokens: int, rounds: int,
            square: int) -> dict[str, object]:
    block = padded_block(widths, hidden_size, top_k, device)
    x = torch.randn(tokens, hidden_size, device=device, dtype=torch.bfloat16)
    difference = difference_from_plain(block, widths, x)
    if not difference < TOLERANCE:
        raise RuntimeError(f"differs from a plain loop by {difference:.3g}")
    flops = forward_flops(block, widths, x)
    x.requires_grad_()
    dy = torch.randn_like(x) * 1e-3
    a, b = (torch.randn(square, square, device=device, dtype=torch.bfloat16) for _ in range(2))
    forward, backward, squares = [], [], []
    for current in range(-WARM_UP_ROUNDS, rounds):
        seconds_of_square = time_square(a, b)
        seconds = time_once(block, x, dy, lambda: torch.mm(a, b))
        if current >= 0:
            squares.append(seconds_of_square)
            forward.append(seconds[0])
            backward.append(seconds[1])
    square_rate = 2.0 * square**3 / statistics.median(squares)
    both = [one + other for one, other in zip(forward, backward)]
    return {"case": "gpu transformers padded mixture", "tokens": tokens, "hidden_size": hidden_size, "widths": widths,
            "device": torch.cuda.get_device_name() if device != "cpu" else "cpu", "type": "bf16",
            "difference_from_plain_loop": difference, "square_flops_per_second": square_rate,
            "forward": part(forward, flops, square_rate), "backward": part(backward, 2 * flops, square_rate),
            "forward_and_backward": part(both, 3 * flops, square_rate),
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--widths", default=WIDTHS_OF_3B)
    for name, default in (("hidden-size", 1024), ("top-k", 2), ("tokens", 16384), ("rounds", 15), ("square", 8192)):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("padded_mixture_speed: no GPU (--device cpu runs without)", file=sys.stderr)
        return 2
    widths = [int(width) for width in arguments.widths.split(",")]
    print(json.dumps(measure(arguments.device, widths, arguments.hidden_size, arguments.top_k, arguments.tokens,
                             arguments.rounds, arguments.square)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
