"""All that is measured on a GPU, one JSON line per case (tests/bench/run.sh --gpu; README.md says what each means).

    on_gpu.py [--build FOLDER] [--peer PYTHON] [--rounds 3] [--tiny]

--tiny: sizes that say nothing, on the emulated device (and `transformers` on the CPU): whether all of this runs.
A case that fails prints a line with "error", the others go on, and the exit code is 1.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import host_waits

PROJECT = pathlib.Path(__file__).resolve().parents[2]
MPIRUN = ["mpirun", "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", "-np", "2"]
# Dense bf16 with fp32 sums, from the makers' data sheets; the first name that fits counts.
NOMINAL_FLOPS_PER_SECOND = (
    ("A100", 312e12), ("H100 PCIe", 756e12), ("H100 NVL", 835e12), ("H100", 989e12), ("H200 NVL", 835e12),
    ("H200", 989e12), ("B200", 2250e12))
WARM_UP_STEPS = 3
LONGEST_SECONDS = 1800  # of one program
TINY = {"model.vocab_size": 64, "model.hidden_size": 32, "model.num_layers": 2, "model.num_heads": 2,
        "model.num_kv_heads": 2, "model.experts.mean_width": 32}


class OutOfMemory(RuntimeError):
    pass


def nominal_flops_per_second(device):
    return next((rate for name, rate in NOMINAL_FLOPS_PER_SECOND if name in device), None)


def settings(values):
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def lines_of(command, **options):
    """The JSON lines that a program prints."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=LONGEST_SECONDS,
                          **options)
    if done.returncode != 0:
        raise RuntimeError(f"{pathlib.Path(command[0]).name}: {(done.stderr.strip() or str(done.returncode))[-500:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def steps_of(command, metrics, steps, longest_seconds=LONGEST_SECONDS):
    """Metrics of the first steps of a run, which is ended then: its last step would be saved, and that takes long."""
    deadline = time.monotonic() + longest_seconds
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=errors)
        try:
            while True:
                ended = process.poll() is not None
                lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
                whole = [json.loads(line) for line in lines if line.endswith("\n")]
                if len(whole) >= steps:
                    return whole[:steps]
                if ended:
                    break
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{len(whole)} of {steps} steps after {longest_seconds} s")
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        reason = (errors.read().strip() or f"exit code {process.returncode}")[-500:]
    raise (OutOfMemory if re.search(r"out of memory|needs .* GiB", reason) else RuntimeError)(reason)


def largest_that_fits(run, first, most):
    """Calls run(count) with doubled or halved counts until memory is short; (count, result) of each that was tried."""
    tried = []

    def attempt(count):
        try:
            tried.append((count, run(count)))
        except OutOfMemory as error:
            tried.append((count, error))
        return not isinstance(tried[-1][1], OutOfMemory)

    count = first
    if attempt(count):
        while 2 * count <= most and attempt(2 * count):
            count *= 2
    else:
        while count > 1 and not attempt(count // 2):
            count //= 2
    return tried


class Bench:
    def __init__(self, arguments, folder):
        self.tiny = arguments.tiny
        self.rounds = 1 if self.tiny else arguments.rounds
        self.build = arguments.build
        self.peer = arguments.peer
        self.folder = folder
        self.table = folder / "products.yaml"
        self.failed = False
        self.lines = []

    def program(self, name):
        return self.build / (name + "_emulated" if self.tiny else name)

    def emit(self, line):
        self.lines.append(line)
        print(json.dumps(line), flush=True)

    def attempt(self, case, body):
        try:
            for line in body():
                self.emit(line)
        # A line that is not JSON (ValueError) or lacks something ends its own case alone.
        except (RuntimeError, OSError, KeyError, TypeError, ValueError, subprocess.TimeoutExpired) as error:
            self.failed = True
            said = str(error).strip().splitlines() or [""]
            self.emit({"case": case, "error": f"no {said[-1]}" if isinstance(error, KeyError) else said[-1]})

    def median_of(self, case, *keys, **wanted):
        """Over the lines of the case that have these values."""
        found = []
        for line in self.lines:
            if line.get("case") == case and "error" not in line and wanted.items() <= line.items():
                for key in keys:
                    line = line[key]
                found.append(line)
        return statistics.median(found) if found else None

    def tiny_config(self):
        config = self.folder / "tiny.yaml"
        config.write_text("model: {vocab_size: 64, hidden_size: 32, num_layers: 1, num_heads: 2, num_kv_heads: 2,\n"
                          "        experts: {widths: [16, 24, 40, 48]}}\n"
                          "data: {train: random}\nevaluate: {every_steps: 0}\n")
        return config

    def measured_table(self, with_table):
        """The file that `products` has written, or none."""
        if with_table and not self.table.exists():
            raise RuntimeError("no table of products was measured")
        return self.table if with_table else None

    def layer(self, with_table):
        table = self.measured_table(with_table)
        config = self.tiny_config() if self.tiny else PROJECT / "configs" / "hmoe_3b_top_k.yaml"
        sizes = ["64", "2", "64"] if self.tiny else []
        return lines_of([self.program("hetmoe_gpu_layer_bench"), config, *sizes,
                         *(["--product-table", table] if table else [])])

    def peer_mixture(self):
        if self.peer is None:
            raise RuntimeError("no Python with transformers: tests/peers/setup.sh")
        sizes = ["--device", "cpu", "--widths", "24,40", "--hidden-size", "32", "--tokens", "64", "--rounds", "2",
                 "--square", "64"] if self.tiny else []
        return lines_of([self.peer, "-B", PROJECT / "tests" / "peers" / "padded_mixture_speed.py", *sizes])

    def beside_peer(self):
        for with_table in (False, True):
            for part in ("forward", "backward", "forward_and_backward"):
                ours = self.median_of("gpu mixture layer", part, "median_seconds", product_table=with_table)
                theirs = self.median_of("gpu transformers padded mixture", part, "median_seconds")
                if ours is None or theirs is None:
                    raise RuntimeError("one of the two was not measured")
                yield {"case": "gpu mixture over transformers padded", "part": part, "product_table": with_table,
                       "times_as_fast": theirs / ours}

    def products(self):
        """Its models are named from the project's folder."""
        sizes = ([self.tiny_config(), "--tokens", "64", "--held", "4", "--rounds", "1", "--repeats", "1"]
                 if self.tiny else [])
        return lines_of([self.program("hetmoe_product_bench").resolve(), *sizes, "--write", self.table], cwd=PROJECT)

    def exchange(self):
        sizes = ["1", "2"] if self.tiny else []
        return lines_of([*MPIRUN, self.program("hetmoe_gpu_nccl_bench"), *sizes],
                        env=dict(os.environ, NCCL_MULTI_RANK_GPU_ENABLE="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                                 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1"))

    def waits(self):
        library = None if self.tiny else self.build / "libhetmoe_host_waits.so"
        for ranks in (1, 2):
            yield host_waits.measure(self.program("hetmoe").resolve(), ranks, library)

    def end_to_end(self, name, with_table):
        table = self.measured_table(with_table)
        microbatches, length, steps = 2, 8 if self.tiny else 4096, 4 if self.tiny else 9
        values = {"data.train": "random", "data.valid": '""', "train.steps": 100000, "train.precision": "bf16",
                  "parallel.device": "cuda", "train.microbatches": microbatches, "train.sequence_length": length, "evaluate.every_steps": 0,
                  "checkpoint.every_steps": 100000, "placement.every": 0,
                  "parallel.product_table": table or '""', **(TINY if self.tiny else {})}

        def run(sequences):
            folder = self.folder / f"{name}-{sequences}-{with_table}"
            found = steps_of([self.program("hetmoe"), "train", PROJECT / "configs" / f"{name}.yaml", "--run-dir", folder,
                              *settings({**values, "train.global_batch": microbatches * sequences})],
                             folder / "metrics.jsonl", steps)[WARM_UP_STEPS:]
            return {key: statistics.median(line[key] for line in found)
                    for key in ("tokens_per_second", "model_flops_per_second", "step_seconds")}

        tried = largest_that_fits(run, first=1 if self.tiny else 8, most=2 if self.tiny else 64)
        fitting = [(count, result) for count, result in tried if not isinstance(result, OutOfMemory)]
        if not fitting:
            raise RuntimeError(f"not even one sequence fits: {tried[-1][1]}")
        sequences, best = max(fitting, key=lambda one: one[1]["tokens_per_second"])
        device = next((line["device"] for line in self.lines if line.get("case") == "gpu square product"), "")
        square, nominal = self.median_of("gpu square product", "forward", "flops_per_second"), nominal_flops_per_second(device)
        rate = best["model_flops_per_second"]
        yield {"case": "gpu end to end", "config": name, "product_table": with_table, "device": device,
               "sequences_per_microbatch": sequences, "microbatches": microbatches, "sequence_length": length, **best,
               "share_of_square": rate / square if square else None,
               "nominal_flops_per_second": nominal, "mfu": rate / nominal if nominal else None,
               "tried": [{"sequences": count, **({"error": str(result)} if isinstance(result, OutOfMemory) else result)}
                         for count, result in tried]}

    def all(self):
        self.attempt("gpu products", self.products)
        for _ in range(self.rounds):
            for with_table in (False, True):
                self.attempt("gpu mixture layer", lambda with_table=with_table: self.layer(with_table))
            if self.peer is not None or not self.tiny:
                self.attempt("gpu transformers padded mixture", self.peer_mixture)
        if self.peer is not None or not self.tiny:
            self.attempt("gpu mixture over transformers padded", self.beside_peer)
        self.attempt("gpu host waits", self.waits)
        self.attempt("gpu all to all", self.exchange)
        for name in ("hmoe_0.4b_top_k", "hmoe_3b_top_k"):
            for with_table in (False, True):
                self.attempt("gpu end to end",
                             lambda name=name, with_table=with_table: self.end_to_end(name, with_table))
        return 1 if self.failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=PROJECT / "build")
    parser.add_argument("--peer", type=pathlib.Path, help="a Python that has transformers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    with tempfile.TemporaryDirectory(prefix="hetmoe-") as folder:
        return Bench(parser.parse_args(), pathlib.Path(folder)).all()


if __name__ == "__main__":
    sys.exit(main())
