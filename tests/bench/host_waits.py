"""How often a training step makes its host wait for a GPU, proved by counting, not by reading the code.

    host_waits.py PROGRAM [--counter FILE] [--ranks N] [--check]

Two runs of different length differ by whole steps alone: what they count apart, over the steps between them, is
what one step does. Who counts: beside a real GPU CUPTI, in a library that CUDA's driver loads into the program
(tests/gpu/host_waits, --counter); the emulated device counts for itself. Prints one JSON line; with --check fails
where it is not as promised.

waits: for a stream, an event or a device; the promise is one per layer and microbatch, for split sizes, and one per
step, for the verdict. pageable_copies and allocations may hold the host as well; the promise is none. How many pinned
blocks are in flight depends on how far a host runs ahead, so one allocation more or less in a whole run is no fault;
one in every other step is.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

LAYERS, MICROBATCHES = 3, 2
MOST_ALLOCATIONS = 0.5  # of a step: see above
STEPS = (4, 8)  # the shorter one is long enough for all that is made once
CONFIGURATION = f"""\
model: {{vocab_size: 256, hidden_size: 32, num_layers: {LAYERS}, num_heads: 2, num_kv_heads: 2,
        experts: {{count: 4, mean_width: 32}}}}
data: {{train: random}}
train: {{steps: 1, global_batch: 8, microbatches: {MICROBATCHES}, sequence_length: 16, warmup_steps: 0,
        precision: bf16}}
evaluate: {{every_steps: 0}}
checkpoint: {{every_steps: 1000}}
placement: {{every: 0}}
parallel: {{threads: 1, device: cuda}}
"""


def counts_of_run(program, folder, steps, ranks, counter):
    """What all ranks of one run counted, added up."""
    counted = folder / f"counted-{steps}"
    counted.mkdir()
    environment = dict(os.environ, HETMOE_HOST_WAITS=str(counted), NCCL_MULTI_RANK_GPU_ENABLE="1",
                       OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    if counter:
        environment["CUDA_INJECTION64_PATH"] = str(counter)
    command = [str(program), "train", "waits.yaml", "--run-dir", f"run-{steps}", "--set", f"train.steps={steps}"]
    if ranks > 1:
        command = ["mpirun", "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", "-np", str(ranks), *command]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    files = list(counted.glob("*.json"))
    if len(files) != ranks:
        raise RuntimeError(f"{len(files)} of {ranks} ranks have counted: {done.stderr.strip()}")
    counts = [json.loads(file.read_text()) for file in files]
    return {key: sum(count[key] for count in counts) for key in counts[0]}


def measure(program, ranks=1, counter=None):
    """One line, see above; counts are per rank and step."""
    with tempfile.TemporaryDirectory(prefix="hetmoe-") as name:
        folder = pathlib.Path(name)
        (folder / "waits.yaml").write_text(CONFIGURATION)
        short, long = (counts_of_run(program, folder, steps, ranks, counter) for steps in STEPS)
    of_a_step = {key: (long[key] - short[key]) / (ranks * (STEPS[1] - STEPS[0])) for key in long}
    return {"case": "gpu host waits", "ranks": ranks, "layers": LAYERS, "microbatches": MICROBATCHES, **of_a_step,
            "promised_waits": LAYERS * MICROBATCHES + 1}


def faults(line):
    """What is not as promised, for people."""
    found = []
    if line["waits"] != line["promised_waits"]:
        found.append(f"a step waits {line['waits']} times and not {line['promised_waits']}")
    if line["pageable_copies"] != 0:
        found.append(f"a step has {line['pageable_copies']} pageable_copies")
    if abs(line["allocations"]) >= MOST_ALLOCATIONS:
        found.append(f"a step has {line['allocations']} allocations")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--counter", type=pathlib.Path)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    try:
        line = measure(arguments.program.resolve(), arguments.ranks, arguments.counter)
    except RuntimeError as error:
        sys.exit(f"host_waits: {error}")
    print(json.dumps(line))
    if arguments.check and faults(line):
        sys.exit("host_waits: " + "; ".join(faults(line)))


if __name__ == "__main__":
    main()
