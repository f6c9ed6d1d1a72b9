"""Runs of `hetmoe train` that are timed: what one run says of its speed, memory, data loading and start."""

import datetime
import json
import os
import pathlib
import statistics
import tempfile

import measured_process

PROJECT = pathlib.Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 1800


def settings_of(size, precision, threads):
    """size: a TrainingSize of tests/peers."""
    return {
        "model.vocab_size": size.vocabulary, "model.hidden_size": size.hidden, "model.num_layers": size.layers,
        "model.num_heads": size.heads, "model.num_kv_heads": size.heads, "model.experts.count": size.experts,
        "model.experts.mean_width": size.mean_width, "model.router.top_k": size.top_k,
        "train.global_batch": size.sequences, "train.sequence_length": size.length, "train.precision": precision,
        "parallel.threads": threads, "parallel.device": "cpu",
        "checkpoint.every_steps": 0, "checkpoint.last_step": "false", "placement.every": 0}


def mpirun(ranks, threads):
    """Each rank on cores of its own where there are enough of them."""
    cores = len(os.sched_getaffinity(0))
    if ranks * threads > cores:
        return ["mpirun", "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", "-np", str(ranks)]
    return ["mpirun", "--map-by", f"slot:PE={threads}", "--bind-to", "core", "-np", str(ranks)]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def measure(build, size, precision, threads, ranks, steps, warm_up, extra=None):
    """Figures of the steps after the warm-up. What ran is read from the run's own files, and must be what was asked."""
    values = {**settings_of(size, precision, threads), "train.steps": warm_up + steps, **(extra or {})}
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OMPI_ALLOW_RUN_AS_ROOT="1",
                       OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory(prefix="hetmoe-") as folder:
        run = pathlib.Path(folder) / "run"
        command = [*mpirun(ranks, threads), build / "hetmoe", "train", PROJECT / "tests" / "bench" / "end_to_end.yaml",
                   "--run-dir", run]
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        done = measured_process.run(command, LONGEST_SECONDS, env=environment)
        started = next(line for line in lines_of(run / "events.jsonl") if line["event"] == "started")
        records = lines_of(run / "metrics.jsonl")
        widths = planned_widths(run, size)
    for key, asked in (("precision", precision), ("threads", threads), ("ranks", ranks)):
        if started[key] != asked:
            raise RuntimeError(f"{key} {started[key]} ran, {asked} was asked for")
    if len(records) != warm_up + steps or records[0]["tokens"] != size.tokens:
        raise RuntimeError(f"{len(records)} steps of {records[0]['tokens']} tokens ran, {warm_up + steps} of"
                           f" {size.tokens} were asked for")
    timed = records[warm_up:]
    speeds = [record["tokens_per_second"] for record in timed]
    began = datetime.datetime.fromisoformat(started["time"]).timestamp()
    return {
        "precision": started["precision"], "threads": started["threads"], "ranks": started["ranks"], "widths": widths,
        "steps": len(timed), "tokens_per_second": statistics.median(speeds),
        "model_flops_per_second": statistics.median(record["model_flops_per_second"] for record in timed),
        "peak_memory_bytes": done.peak_memory_bytes,
        "start_seconds": began - done.began,
        "first_step_seconds": records[0]["step_seconds"],
        "data_share": statistics.median(r["phase_seconds"]["data"] / r["step_seconds"] for r in timed),
        "flops_max_over_mean": statistics.mean(record["flops_max_over_mean"] for record in timed)}


def planned_widths(run, size):
    """Of the slices of layer 0, added up by expert: what ran, whatever was asked for."""
    widths = [0] * size.experts
    for one in json.loads((run / "plan.json").read_text())["layers"][0]["slices"]:
        widths[one["expert"]] += one["end"] - one["begin"]
    return widths
