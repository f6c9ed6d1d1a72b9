#!/usr/bin/env python3
"""Registers, shared memory and spills of every kernel, as CUDA's compiler tells them.

kernel_resources.py [--check README] [ARCHITECTURE ...]   (default: 80 90a 100)

Prints one table in Markdown per architecture. Fails on a spill or a stack frame; with --check
also where the README lacks the table of sm_90a as it is now. Needs nvcc and c++filt, no GPU.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTED = "sm_90a"


def nvcc():
    """The one that the program is built with, or else the one on the PATH."""
    ours = sorted(ROOT.glob(".deps/python/lib/python3*/site-packages/nvidia/cu13/bin/nvcc"))
    return str(ours[0]) if ours else "nvcc"


def compiled(source, architectures):
    """What nvcc says while it compiles, names demangled."""
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc(), "-std=c++20", "-O3", "--resource-usage", f"-I{ROOT}"]
        command += ["-isystem", str(ROOT / "core/gpu/cuda")]
        command += [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
        command += ["-c", str(source), "-o", f"{folder}/kernel.o"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return subprocess.run(["c++filt"], input=done.stdout + done.stderr, capture_output=True, text=True, check=True).stdout


def number(pattern, text):
    found = re.search(pattern, text)
    return int(found.group(1)) if found else 0


def kernels_of(text):
    """Yields (architecture, kernel without its template arguments, registers, shared, spilled)."""
    parts = re.split(r"Compiling entry function '(.*)' for '(\w+)'", text)
    for name, architecture, usage in zip(parts[1::3], parts[2::3], parts[3::3]):
        kernel = re.search(r"(\w+)(<.*>)?\(", name.replace("(anonymous namespace)", "")).group(1)
        spilled = sum(number(rf"(\d+) bytes {what}", usage) for what in ("stack frame", "spill stores", "spill loads"))
        yield architecture, kernel, number(r"Used (\d+) registers", usage), number(r"(\d+) bytes smem", usage), spilled


def table(rows):
    lines = ["| file | kernel | registers | shared memory (bytes) | spilled (bytes) |", "| --- | --- | --- | --- | --- |"]
    for (file, kernel), found in sorted(rows.items()):
        registers, shared, spilled = zip(*found)
        fewest, most = min(registers), max(registers)
        count = str(most) if fewest == most else f"{fewest} to {most}"
        lines.append(f"| `{file}` | `{kernel}` | {count} | {max(shared)} | {max(spilled)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=pathlib.Path, metavar="README")
    parser.add_argument("architectures", nargs="*", default=["80", "90a", "100"])
    arguments = parser.parse_args()
    sources = sorted(ROOT.glob("core/kernels/gpu/*.cu")) + sorted(ROOT.glob("parallel/communicator/*.cu"))
    found = {f"sm_{architecture}": {} for architecture in arguments.architectures}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, text in zip(sources, pool.map(lambda one: compiled(one, arguments.architectures), sources)):
            for architecture, kernel, *usage in kernels_of(text):
                found[architecture].setdefault((source.name, kernel), []).append(usage)
    for architecture, rows in found.items():
        print(f"{architecture}\n\n{table(rows)}\n")
    faults = [f"{architecture}: {file}: {kernel} spills or has a stack frame"
              for architecture, rows in found.items() for (file, kernel), usages in rows.items()
              if any(spilled for _, _, spilled in usages)]
    if not all(found.values()):
        faults.append("an architecture has no kernels")
    if arguments.check and table(found.get(DOCUMENTED, {})) not in arguments.check.read_text():
        faults.append(f"{arguments.check}: not the table of {DOCUMENTED} above")
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()
