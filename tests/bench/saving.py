"""What saving costs: a model of 100 M parameters on two ranks, bf16, saved every few steps of real training.

  saving.py [STEPS]   seconds that training waits for a save beside those until it is committed; tokens/s of the
                      steps that begin before a commit, over those of all others

One JSON line. Needs a release build and an otherwise idle machine of two cores.
"""

import json
import pathlib
import statistics
import sys
import tempfile

from workloads import launched, settings

CONFIGURATION = """\
model: {vocab_size: 18432, hidden_size: 512, num_layers: 6, experts: {count: 8, mean_width: 1024}}
data: {train: random}
train: {global_batch: 8, sequence_length: 256, precision: bf16}
evaluate: {every_steps: 0}
placement: {every: 0}
parallel: {threads: 1}
"""
EVERY = 8


def main(steps):
    with tempfile.TemporaryDirectory(prefix="hetmoe-") as name:
        folder = pathlib.Path(name)
        (folder / "config.yaml").write_text(CONFIGURATION)
        launched(2, "train", folder / "config.yaml", "--run-dir", folder / "run",
                 *settings({"train.steps": steps, "checkpoint.every_steps": EVERY}))
        lines = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
        events = [json.loads(line) for line in (folder / "run/events.jsonl").read_text().splitlines()]
    saves = [event for event in events if event["event"] == "save_committed"]
    seconds = {line["step"]: line["step_seconds"] for line in lines}
    during = set()
    for save in saves[:-1]:  # nothing is trained beside the last
        step, elapsed = save["step"] + 1, 0.0
        while elapsed < save["seconds"] - save["blocked_seconds"] and step <= steps:
            during.add(step)
            elapsed += seconds[step]
            step += 1
    speed = {line["step"]: line["tokens_per_second"] for line in lines if line["step"] > 2}
    beside = statistics.median(value for step, value in speed.items() if step in during)
    alone = statistics.median(value for step, value in speed.items() if step not in during)
    blocked = [save["blocked_seconds"] for save in saves[1:]]  # the first one gets its memory
    print(json.dumps({
        "case": "saving", "ranks": 2, "bytes": saves[0]["bytes"], "saves": len(saves),
        "blocked_seconds": statistics.median(blocked), "first_blocked_seconds": saves[0]["blocked_seconds"],
        "seconds_beside_training": statistics.median(save["seconds"] for save in saves[:-1]),
        "seconds_alone": saves[-1]["seconds"],
        "tokens_per_second_beside": beside, "tokens_per_second_alone": alone, "kept": beside / alone}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
