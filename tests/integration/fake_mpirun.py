"""Stands in for mpirun: records how it was called, then does what the test's plan says.

`plan.json` beside it holds a list, one entry for each call, the last one for all that follow:
  commit  step that this attempt commits          record  what it writes into exit.json
  write   {file: text} in the run directory       await   signals it takes before it goes on
  exit    its code (0)                            die     the signal it sends itself instead
`calls.jsonl` gets a line at the start of each call, `signals` a line for each signal.
"""

import json
import os
import pathlib
import signal
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def append(name, line):
    with open(HERE / name, "a") as file:
        file.write(line + "\n")


def main():
    taken = []

    def take(number, _):
        taken.append(number)
        append("signals", signal.Signals(number).name)

    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, take)
    calls = (HERE / "calls.jsonl").read_text().count("\n") if (HERE / "calls.jsonl").exists() else 0
    plan = json.loads((HERE / "plan.json").read_text())
    entry = plan[min(calls, len(plan) - 1)]
    run = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name.startswith(("OMPI_", "HETMOE_LAUNCH"))}
    append("calls.jsonl", json.dumps({"words": sys.argv[1:], "environment": environment,
                                      "group": os.getpgid(0) == os.getpid(), "pid": os.getpid()}))
    for name, text in entry.get("write", {}).items():
        (run / name).write_text(text)
    if "commit" in entry:
        step = run / f"checkpoints/step-{entry['commit']:08}"
        step.mkdir()
        (step / "COMMITTED").touch()
    while len(taken) < entry.get("await", 0):
        time.sleep(0.01)  # and not pause(): a signal may come just before it
    if "record" in entry:
        (run / "exit.json.part").write_text(json.dumps(entry["record"]))
        (run / "exit.json.part").rename(run / "exit.json")
    if "die" in entry:
        os.kill(os.getpid(), entry["die"])
    sys.exit(entry.get("exit", 0))


main()
