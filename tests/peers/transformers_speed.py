"""Speed of a training step of `transformers` Mixtral: forward, backward, clipping, AdamW. One JSON
line per experts implementation and a last one, "transformers_mixtral_best".

    transformers_speed.py [--size S|M|L] [--precision bf16|autocast|fp32] [--threads 1]
                          [--implementations all|NAME,...] [--attention sdpa|eager]
                          [--memory-settings] [--rounds 7] [--warm-up 2]

"bf16" keeps everything in bf16, moments too (less work than a trainer with fp32 masters does, so a
generous peer); "autocast" has fp32 weights and casts. An implementation that cannot run here says
why. --memory-settings: what process_settings.py says; without it, as installed. Rounds alternate
over implementations, each preceded by the yardstick, a 2048 x 1024 x 2048 product of the same type.
FLOPs: training_sizes.py; all experts have the mean width.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time

from process_settings import MEMORY, restart_with
from training_sizes import SIZES, TrainingSize


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="M")
    parser.add_argument("--precision", choices=("bf16", "autocast", "fp32"), default="bf16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--implementations", default="all")
    parser.add_argument("--attention", choices=("sdpa", "eager"), default="sdpa")
    parser.add_argument("--memory-settings", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    ARGUMENTS = parse_arguments()
    os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)  # read when torch is loaded
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no kernels from the network: as installed
    if ARGUMENTS.memory_settings:
        restart_with(MEMORY)

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS  # noqa: E402

from yardstick import yardstick_flops_per_second  # noqa: E402


def refusal(implementation: str, size: TrainingSize, precision: str) -> str:
    """batched_mm copies the weights of its expert for every token: refuse what cannot fit."""
    if implementation != "batched_mm":
        return ""
    copies = size.tokens * size.top_k * size.layers
    weight_bytes = 3 * size.hidden * size.mean_width * (2 if precision == "bf16" else 4)
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if copies * weight_bytes < 0.8 * available:
        return ""
    return f"needs {copies * weight_bytes / 1e9:.0f} GB, {available / 1e9:.0f} GB are free"


class Trainer:
    """A Mixtral with random weights on random tokens."""

    def __init__(self, size: TrainingSize, precision: str, attention: str):
        config = transformers.MixtralConfig(
            vocab_size=size.vocabulary,
            hidden_size=size.hidden,
            intermediate_size=size.mean_width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            num_local_experts=size.experts,
            num_experts_per_tok=size.top_k,
            max_position_embeddings=size.length,
            sliding_window=None,
            use_cache=False,
            attn_implementation=attention,
        )
        torch.manual_seed(1)
        self.precision, self.size = precision, size
        self.model = transformers.MixtralForCausalLM(config)
        if precision == "bf16":
            self.model.to(torch.bfloat16)
        self.model.train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def step(self, implementation: str) -> float:
        """Seconds of one step."""
        self.model.set_experts_implementation(implementation)
        ids = torch.randint(self.size.vocabulary, (self.size.sequences, self.size.length))
        begin = time.perf_counter()
        autocast = self.precision == "autocast"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = self.model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - begin
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss is {loss.item()}")
        return seconds


def measure(trainer: Trainer, implementations: list[str], warm_up: int, rounds: int) -> list[dict]:
    """One result per implementation, or its error."""
    size, precision = trainer.size, trainer.precision
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    seconds: dict[str, list[float]] = {name: [] for name in implementations}
    yardsticks: dict[str, list[float]] = {name: [] for name in implementations}
    errors: dict[str, str] = {}
    first: dict[str, dict[str, float]] = {}
    for turn in range(-warm_up, rounds):
        for name in implementations:
            if name in errors:
                continue
            try:
                if reason := refusal(name, size, precision):
                    raise RuntimeError(reason)
                yardstick = yardstick_flops_per_second(dtype) if turn >= 0 else 0
                began = time.time()
                taken = trainer.step(name)
            except Exception as error:  # a peer's own failure is a result, not ours
                errors[name] = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            first.setdefault(name, {"first_step_began": began, "first_step_seconds": taken})
            if turn >= 0:
                seconds[name].append(taken)
                yardsticks[name].append(yardstick)
    return [
        {"implementation": name, "error": errors[name]}
        if name in errors
        else {
            "implementation": name, **figures(size, seconds[name], yardsticks[name]), **first[name]
        }
        for name in implementations
    ]  # fmt: skip


def figures(size: TrainingSize, seconds: list[float], yardsticks: list[float]) -> dict[str, float]:
    selected_widths = size.layers * size.tokens * size.top_k * size.mean_width
    flops = size.flops_per_step(selected_widths)
    middle = statistics.median(seconds)
    return {
        "steps": len(seconds),
        "tokens_per_second": size.tokens / middle,
        "spread": (max(seconds) - min(seconds)) / middle,
        "model_flops_per_second": flops / middle,
        "yardstick_flops_per_second": statistics.median(yardsticks),
        "yardstick_ratio": statistics.median(flops / s / y for s, y in zip(seconds, yardsticks)),
    }


def main() -> int:
    torch.set_num_threads(ARGUMENTS.threads)
    trainer = Trainer(SIZES[ARGUMENTS.size], ARGUMENTS.precision, ARGUMENTS.attention)
    known = ["eager", *(name for name in ALL_EXPERTS_FUNCTIONS.keys() if name != "eager")]
    asked = known if ARGUMENTS.implementations == "all" else ARGUMENTS.implementations.split(",")
    results = measure(trainer, asked, ARGUMENTS.warm_up, ARGUMENTS.rounds)
    shared = {
        "size": ARGUMENTS.size,
        "precision": ARGUMENTS.precision,
        "threads": torch.get_num_threads(),
        "experts": "equal",
        "widths": [trainer.size.mean_width] * trainer.size.experts,
        "attention": trainer.model.config._attn_implementation,
        "memory_settings": ARGUMENTS.memory_settings,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    for result in results:
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
