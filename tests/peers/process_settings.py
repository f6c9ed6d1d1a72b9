"""What a process of PyTorch must have in its environment from its start to be fast on a CPU."""

from __future__ import annotations

import os
import sys

MEMORY = {
    # glibc would give large blocks back after every use, and have the kernel clear them again.
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=17179869184"
    ":glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=67108864",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384",
}
# At M, bf16, one thread, single runs on one machine: the tuned trainer took 7-9 % less time with
# them, `transformers` a third more. Why it loses was not looked into.
HUGE_PAGES = {**MEMORY, "GLIBC_TUNABLES": MEMORY["GLIBC_TUNABLES"] + ":glibc.malloc.hugetlb=1"}
COMPILER = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # in this process: no helpers that take memory


def restart_with(settings: dict[str, str]) -> None:
    """Puts this program in its own place with these settings, unless it has them."""
    if any(os.environ.get(key) != value for key, value in settings.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **settings})
