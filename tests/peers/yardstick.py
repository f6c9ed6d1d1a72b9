"""The yardstick of all speeds: the rate of a 2048 x 1024 x 2048 product of PyTorch.

    yardstick.py --precision bf16|fp32 --threads N

measures once for every line that it reads, and answers with FLOP/s. So a process that stays sets
the yardstick beside programs of any kind.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from process_settings import MEMORY, restart_with

if __name__ == "__main__":
    restart_with(MEMORY)

import torch  # noqa: E402


def yardstick_flops_per_second(dtype: torch.dtype, repeats: int = 5) -> float:
    a, b = torch.randn(2048, 1024).to(dtype), torch.randn(1024, 2048).to(dtype)
    torch.mm(a, b)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - begin)
    return 2 * 2048 * 1024 * 2048 / statistics.median(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precision", choices=("bf16", "fp32"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    for _ in sys.stdin:
        print(yardstick_flops_per_second(dtype, repeats=9), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
