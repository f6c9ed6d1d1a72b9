"""What balancing keeps and what the simulator foretells, measured with real runs on this machine.

  workloads.py kept        throughput under W1..W7 on two ranks over that under even routing with the same
                           sources: slices after a rebalance, beside contiguous experts; in tokens/s, and in
                           FLOP/s because a hot wide expert is more work
  workloads.py simulated   median step seconds of real runs beside `hetmoe simulate` with a cluster file
                           calibrated in the same minutes

One JSON line per case; of `simulated` also one with the median error. Runs alternate; medians. Needs a release build and an
otherwise idle machine of two cores.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parents[2]
HETMOE = PROJECT / "build" / "hetmoe"
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

CONFIGURATION = """\
model: {{vocab_size: 2048, hidden_size: {hidden}, num_layers: 4, num_heads: 8, num_kv_heads: 8,
        hyper: {{enabled: {hyper}}}, experts: {{count: 8, mean_width: {width}}}}}
data: {{train: random}}
train: {{steps: {steps}, global_batch: 8, sequence_length: 256, precision: bf16}}
evaluate: {{every_steps: 0}}
parallel: {{threads: 1}}
"""
SIZES = {"S": {"hidden": 128, "width": 256, "steps": 40}, "M": {"hidden": 256, "width": 512, "steps": 30},
         "L": {"hidden": 512, "width": 1024, "steps": 14}}
EVERY = 10  # steps between looks


def command_line(ranks, *command):
    return ["mpirun", "--map-by", ":OVERSUBSCRIBE", "--bind-to", "core", "-np", str(ranks), HETMOE, *command]


def launched(ranks, *command):
    done = subprocess.run(command_line(ranks, *command), env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"hetmoe {' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def settings(values):
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def write_configuration(folder, size, hyper):
    path = folder / f"{size}.yaml"
    path.write_text(CONFIGURATION.format(**SIZES[size], hyper=str(hyper).lower()))
    return path


def step_lines(folder, config, ranks, values, first_step):
    """Metrics of the steps from `first_step` of a run of its own."""
    run = pathlib.Path(tempfile.mkdtemp(dir=folder))
    launched(ranks, "train", config, "--run-dir", run / "run", *settings(values))
    lines = [json.loads(line) for line in (run / "run" / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["step"] >= first_step]


def median_of(lines, key):
    return statistics.median(line[key] for line in lines)


def kept(folder, options):
    config = write_configuration(folder, "M", options.hyper)
    sources = {"W4": "[1, 3]", "W5": "[1, 0]"}  # those that the workloads imply
    for workload in [f"W{number}" for number in range(1, 8)]:
        shared = {"model.experts.ratio": options.ratio, "train.steps": 40,
                  "train.source_weights": sources.get(workload, "[]")}
        cases = {
            "even": {"model.router.forced": "W0", "placement.every": EVERY},
            "slices": {"model.router.forced": workload, "placement.every": EVERY},
            "contiguous": {"model.router.forced": workload, "placement.strategy": "contiguous"},
        }
        runs = {name: [] for name in cases}
        for _ in range(options.rounds):
            for name, values in cases.items():
                runs[name].append(step_lines(folder, config, 2, shared | values, 2 * EVERY + 1))

        def part_of_even(name, key):
            return round(statistics.median(median_of(lines, key) / median_of(even, key)
                                           for lines, even in zip(runs[name], runs["even"])), 3)

        result = {"case": "kept", "workload": workload, "width_ratio": options.ratio, "hyper": options.hyper}
        for name in ("slices", "contiguous"):
            result[name] = {
                "tokens_kept": part_of_even(name, "tokens_per_second"),
                "flops_kept": part_of_even(name, "model_flops_per_second"),
                "flops_max_over_mean": round(median_of(runs[name][0], "flops_max_over_mean"), 3),
                "bytes_over_even": part_of_even(name, "bytes_all_to_all"),
            }
        print(json.dumps(result), flush=True)


def simulated(folder, options):
    errors = []
    for size in SIZES:
        config = write_configuration(folder, size, options.hyper)
        for ranks in (1, 2):
            found = {workload: {"measured": [], "predicted": []} for workload in ("W0", "W1", "W3")}
            for _ in range(options.rounds):
                cluster = folder / "cluster.yaml"
                launched(ranks, "calibrate", config, "--out", cluster, "--seconds", "20")
                for workload, seconds in found.items():
                    values = {"model.router.forced": workload, "placement.every": 0}
                    lines = step_lines(folder, config, ranks, values, 4)
                    seconds["measured"].append(median_of(lines, "step_seconds"))
                    forecast = subprocess.run(
                        [HETMOE, "simulate", config, "--cluster", cluster, "--ranks", str(ranks), "--workload",
                         workload, "--json"], env=ENVIRONMENT, capture_output=True, text=True, check=True)
                    placements = json.loads(forecast.stdout)["placements"]
                    # The run starts from an even load and keeps that placement.
                    seconds["predicted"].append(next(
                        placement["step_seconds"] for placement in placements
                        if placement["name"].endswith("even load") or len(placements) == 1))
            for workload, seconds in found.items():
                error = statistics.median(
                    one / other - 1 for one, other in zip(seconds["predicted"], seconds["measured"]))
                errors.append(abs(error))
                print(json.dumps({"case": "simulated", "size": size, "ranks": ranks, "workload": workload,
                                  "hyper": options.hyper,
                                  "measured_seconds": statistics.median(seconds["measured"]),
                                  "predicted_seconds": statistics.median(seconds["predicted"]),
                                  "error": error}), flush=True)
    print(json.dumps({"case": "simulated, all", "median_error": statistics.median(errors), "largest": max(errors)}))


def main():
    modes = {"kept": kept, "simulated": simulated}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=modes)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ratio", type=float, default=2.56, help="widest over narrowest expert, for `kept` (2.56)")
    parser.add_argument("--hyper", action="store_true", help="with HyperMoE's small expert in every layer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hetmoe-") as folder:
        modes[options.mode](pathlib.Path(folder), options)


if __name__ == "__main__":
    main()
