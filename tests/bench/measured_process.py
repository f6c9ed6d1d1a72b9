"""One process, or a tree of them, that is measured from outside: what it printed, its memory, when it began."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time


@dataclasses.dataclass
class Measured:
    output: str
    began: float  # time.time()
    peak_memory_bytes: int  # resident, of the largest process


def run(command, longest_seconds, **options):
    """Runs it to its end; RuntimeError with its last line where it fails, or is ended because it takes too long."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.time()
        process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=errors,
                                   start_new_session=True, **options)
        is_late = threading.Event()

        def end():
            is_late.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(longest_seconds, end)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            timer.cancel()
        output.seek(0)
        errors.seek(0)
        printed, said = output.read(), errors.read()
    name = pathlib.Path(command[0]).name
    if is_late.is_set():
        raise RuntimeError(f"{name}: not done after {longest_seconds} s")
    if process.returncode != 0:
        lines = said.strip().splitlines() or [f"exit code {process.returncode}"]
        # mpirun ends with lines of its own.
        reason = next((line for line in lines if line.startswith("hetmoe")), lines[-1])
        raise RuntimeError(f"{name}: {reason[-300:]}")
    return Measured(printed, began, usage.ru_maxrss * 1024)


def processors(threads):
    """The first `threads` of those that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if threads > len(allowed):
        raise RuntimeError(f"{threads} threads asked for, {len(allowed)} processors here")
    return allowed[:threads]


def pinned(threads, command):
    return ["taskset", "--cpu-list", ",".join(map(str, processors(threads))), *command]
