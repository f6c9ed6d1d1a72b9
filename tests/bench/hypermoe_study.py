"""Does a generated expert help? A small study on the quick start's text, with the baselines that a fair answer needs.

  hypermoe_study.py [STEPS] [SEEDS]   held-out loss, tokens/s and parameters of six models that see the same
                                      tokens in the same order: configs/tiny.yaml, hypermoe_tiny*.yaml

Prints one JSON line per run and a table of means. Two runs at a time, each on a core of its own. Needs a release
build and the text that `launcher/quickstart.sh` prepares.
"""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parents[2]
EQUAL = {"model.experts.shape": "homogeneous", "model.router.parameter_penalty": 0, "model.router.load_balance": 0.01}
MODELS = {
    "unequal experts": ("tiny", {}),
    "equal experts": ("tiny", EQUAL),
    "unequal + generated expert": ("hypermoe_tiny", {}),
    "unequal + one shared adapter": ("hypermoe_tiny_shared_adapter", {}),
    "unequal + an adapter per expert": ("hypermoe_tiny_expert_adapters", {}),
    "unequal, each wider by the adapter": ("hypermoe_tiny_widened", {}),
}


def start(name, seed, steps, core, folder):
    config, changes = MODELS[name]
    run = pathlib.Path(tempfile.mkdtemp(dir=folder))
    values = {"train.steps": steps, "train.seed": seed, "evaluate.every_steps": steps, **changes}
    settings = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    command = ["taskset", "-c", str(core), PROJECT / "build" / "hetmoe", "train",
               PROJECT / "configs" / f"{config}.yaml", "--run-dir", run / "run", *settings]
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                       OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return {"name": name, "seed": seed, "run": run / "run", "process": process}


def finished(case):
    out, err = case["process"].communicate()
    if case["process"].returncode != 0:
        sys.exit(f"{case['name']}: {err.strip()}")
    lines = [json.loads(line) for line in (case["run"] / "metrics.jsonl").read_text().splitlines()]
    result = {"model": case["name"], "seed": case["seed"],
              "eval_loss": [line["eval_loss"] for line in lines if "eval_loss" in line][-1],
              "tokens_per_second": statistics.median(
                  line["tokens_per_second"] for line in lines if "tokens_per_second" in line),
              "parameters": re.search(r"parameters +(.*?) in total", out).group(1)}
    print(json.dumps(result), flush=True)
    return result


def print_table(results):
    print("| model | parameters | held-out loss, by seed | mean | tokens/s |\n| --- | --- | --- | --- | --- |")
    for name in MODELS:
        own = [result for result in results if result["model"] == name]
        losses = [result["eval_loss"] for result in own]
        speed = statistics.median(result["tokens_per_second"] for result in own)
        print(f"| {name} | {own[0]['parameters']} | {', '.join(f'{loss:.4f}' for loss in losses)} "
              f"| {statistics.mean(losses):.4f} | {speed:,.0f} |")


def main(steps, seeds):
    cases = [(name, seed) for seed in range(1, seeds + 1) for name in MODELS]
    results = []
    with tempfile.TemporaryDirectory(prefix="hetmoe-study-") as folder:
        for first in range(0, len(cases), 2):
            pair = [start(*case, steps, core, folder) for core, case in enumerate(cases[first:first + 2])]
            results += [finished(case) for case in pair]
    print_table(results)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 2)
