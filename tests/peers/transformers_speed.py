"""Speed of a training step of `transformers` Mixtral as installed: forward, backward, clipping,
AdamW. One JSON line per way of running it and a last one, "transformers_mixtral_best".

    transformers_speed.py [--threads 1] [--rounds 7] [--steps-of-warm-up 2] [model sizes]

Two precisions: "bf16" keeps everything in bf16, moments too (less work than a trainer with fp32
masters does, so a generous peer); "autocast" has fp32 weights and casts. Every experts
implementation that the installed version knows is tried; one that cannot run here says why.
Rounds alternate over implementations, each preceded by the yardstick, a 2048x1024x2048 product.
FLOPs of a step = 3 x forward: 2mnk of every product, causal half of attention, the selected
experts, router and head; no embedding.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, default in (
        ("threads", 1),
        ("rounds", 7),
        ("steps-of-warm-up", 2),
        ("hidden-size", 512),
        ("layers", 6),
        ("heads", 8),
        ("experts", 8),
        ("width", 1024),
        ("top-k", 2),
        ("vocab-size", 8192),
        ("sequence-length", 256),
        ("batch", 8),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--precision", choices=("bf16", "autocast", "both"), default="both")
    return parser.parse_args()


ARGUMENTS = parse_arguments()
os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)  # read when torch is loaded
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no kernels from the network: as installed

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS  # noqa: E402


def yardstick_flops_per_second() -> float:
    a = torch.randn(2048, 1024).bfloat16()
    b = torch.randn(1024, 2048).bfloat16()
    torch.mm(a, b)
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - begin)
    return 2 * 2048 * 1024 * 2048 / statistics.median(seconds)


def flops_per_token(sizes: argparse.Namespace) -> float:
    """Forward and backward. Attention has as many key as query heads here."""
    hidden = sizes.hidden_size
    attention = 2 * 4 * hidden * hidden + 2 * 2 * hidden * sizes.sequence_length / 2
    experts = sizes.top_k * 2 * 3 * hidden * sizes.width + 2 * hidden * sizes.experts
    return 3 * (sizes.layers * (attention + experts) + 2 * hidden * sizes.vocab_size)


def refusal(implementation: str, sizes: argparse.Namespace, precision: str) -> str:
    """batched_mm copies the weights of its expert for every token: refuse what cannot fit."""
    if implementation != "batched_mm":
        return ""
    copies = sizes.batch * sizes.sequence_length * sizes.top_k * sizes.layers
    weight_bytes = 3 * sizes.hidden_size * sizes.width * (2 if precision == "bf16" else 4)
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if copies * weight_bytes < 0.8 * available:
        return ""
    return f"needs {copies * weight_bytes / 1e9:.0f} GB, {available / 1e9:.0f} GB are free"


class Trainer:
    """A Mixtral with random weights on random tokens."""

    def __init__(self, sizes: argparse.Namespace, precision: str):
        config = transformers.MixtralConfig(
            vocab_size=sizes.vocab_size,
            hidden_size=sizes.hidden_size,
            intermediate_size=sizes.width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.heads,
            num_local_experts=sizes.experts,
            num_experts_per_tok=sizes.top_k,
            max_position_embeddings=sizes.sequence_length,
            sliding_window=None,
            use_cache=False,
        )
        torch.manual_seed(1)
        self.precision = precision
        self.model = transformers.MixtralForCausalLM(config)
        if precision == "bf16":
            self.model.to(torch.bfloat16)
        self.model.train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.ids = torch.randint(sizes.vocab_size, (sizes.batch, sizes.sequence_length))

    def step(self, implementation: str) -> float:
        """Seconds of one step."""
        self.model.set_experts_implementation(implementation)
        begin = time.perf_counter()
        autocast = self.precision == "autocast"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = self.model(input_ids=self.ids, labels=self.ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - begin
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss is {loss.item()}")
        return seconds


def measure(sizes: argparse.Namespace, precision: str) -> list[dict[str, object]]:
    """One result per experts implementation: tokens/s and yardstick of each round, or an error."""
    trainer = Trainer(sizes, precision)
    tokens = sizes.batch * sizes.sequence_length
    speeds: dict[str, list[float]] = {}
    yardsticks: dict[str, list[float]] = {}
    errors: dict[str, str] = {}
    implementations = ["eager", *(name for name in ALL_EXPERTS_FUNCTIONS.keys() if name != "eager")]
    for current_round in range(-sizes.steps_of_warm_up, sizes.rounds):
        for name in implementations:
            if name in errors:
                continue
            try:
                if reason := refusal(name, sizes, precision):
                    raise RuntimeError(reason)
                yardstick = yardstick_flops_per_second()
                seconds = trainer.step(name)
            except Exception as error:  # a peer's own failure is a result, not ours
                errors[name] = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            if current_round >= 0:
                speeds.setdefault(name, []).append(tokens / seconds)
                yardsticks.setdefault(name, []).append(yardstick)
    return [
        {"precision": precision, "implementation": name, "error": errors[name]}
        if name in errors
        else {
            "precision": precision,
            "implementation": name,
            **figures(sizes, speeds[name], yardsticks[name]),
        }
        for name in implementations
    ]


def figures(
    sizes: argparse.Namespace, speeds: list[float], yardsticks: list[float]
) -> dict[str, object]:
    median = statistics.median(speeds)
    ratios = [
        speed * flops_per_token(sizes) / yardstick for speed, yardstick in zip(speeds, yardsticks)
    ]
    return {
        "tokens_per_second": round(median, 1),
        "spread": round((max(speeds) - min(speeds)) / median, 3),  # (max - min) / median
        "rounds": len(speeds),
        "model_flops_per_second": median * flops_per_token(sizes),
        "yardstick_flops_per_second": statistics.median(yardsticks),
        "yardstick_ratio": round(statistics.median(ratios), 4),
    }


def main() -> int:
    torch.set_num_threads(ARGUMENTS.threads)
    shared = {
        "threads": ARGUMENTS.threads,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "sizes": {
            name: getattr(ARGUMENTS, name)
            for name in (
                "hidden_size layers heads experts width top_k vocab_size sequence_length batch"
            ).split()
        },
    }
    precisions = ("bf16", "autocast") if ARGUMENTS.precision == "both" else (ARGUMENTS.precision,)
    results: list[dict[str, object]] = []
    for precision in precisions:
        for result in measure(ARGUMENTS, precision):
            results.append(result)
            print(json.dumps({"case": "transformers_mixtral", **result, **shared}), flush=True)
    timed = [result for result in results if "error" not in result]
    if not timed:
        print("transformers_speed: no experts implementation ran", file=sys.stderr)
        return 1
    best = max(timed, key=lambda result: result["tokens_per_second"])
    print(json.dumps({"case": "transformers_mixtral_best", **best, **shared}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
