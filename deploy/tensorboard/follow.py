#!/usr/bin/env python3
"""Follows a run's metrics.jsonl into TensorBoard event files.

    python3 deploy/tensorboard/follow.py runs/a --out tensorboard/a &
    tensorboard --logdir tensorboard

Needs Python 3.9 and nothing else; reads only what the run writes anyway. Ends with the run (its
exit.json), with --once at the end of the file, or with Ctrl-C. Started again it writes everything
anew: event files of its own in --out are replaced.
"""

import argparse
import glob
import json
import math
import os
import sys
import time

from event_file import EventFile

MARKER = "written-by-follow-py"  # in a folder whose event files are ours to replace
LONGEST_LINE_BYTES = 1 << 20
MOST_TAGS = 4096


def is_number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e38 and math.isfinite(value)  # what a 32-bit float holds


def scalars_of(line):
    """(tag, number) of every number in a line: "train/loss", "phase_seconds/expert", "expert_tokens/3"."""
    group = "evaluate" if "eval_loss" in line else "train"
    pairs = []
    for key, value in line.items():
        if key in ("step", "generation"):
            continue
        if is_number(value):
            pairs.append((f"{group}/{key}", value))
        elif isinstance(value, dict):
            pairs += [(f"{key}/{name}", part) for name, part in value.items() if is_number(part)]
        elif isinstance(value, list):
            pairs += [(f"{key}/{index}", part) for index, part in enumerate(value) if is_number(part)]
    return pairs[:MOST_TAGS]


def object_of(text):
    """The line's object with a sensible step, or nothing."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return None
    return line if 0 <= line["step"] < 1 << 62 else None


class GrowingFile:
    """Whole lines of a file that another process appends to."""

    def __init__(self, path):
        self.path = path
        self.position = 0

    def new_lines(self):
        try:
            file = open(self.path, "rb")
        except FileNotFoundError:
            return
        with file:
            if os.fstat(file.fileno()).st_size < self.position:
                self.position = 0  # another file than before
            file.seek(self.position)
            while True:
                text = file.readline(LONGEST_LINE_BYTES)
                if not text.endswith(b"\n"):
                    if len(text) < LONGEST_LINE_BYTES:
                        return  # its end is still to come
                elif text.strip():
                    yield text
                self.position = file.tell()


class Follower:
    def __init__(self, run_directory, out):
        self.lines = GrowingFile(os.path.join(run_directory, "metrics.jsonl"))
        self.exit_path = os.path.join(run_directory, "exit.json")
        self.events = EventFile(out, time.time())
        self.passed_over = 0
        self.generation = None
        self.newest_step = -1

    def note_restart(self, line):
        """A later start of the run does steps again; its lines count."""
        generation = line.get("generation")
        if self.generation is not None and generation != self.generation and line["step"] <= self.newest_step:
            self.events.restart(time.time(), line["step"])
        self.generation = generation
        self.newest_step = max(self.newest_step, line["step"])

    def catch_up(self):
        """Writes what is new; gives how many lines that was."""
        written = 0
        for text in self.lines.new_lines():
            line = object_of(text)
            if line is None:
                self.passed_over += 1
                continue
            self.note_restart(line)
            # The lines bear no time; of a line that has just appeared it is now.
            self.events.write(time.time(), line["step"], scalars_of(line))
            written += 1
        self.events.flush()
        return written

    def has_ended(self):
        return os.path.exists(self.exit_path)

    def follow(self, seconds):
        while True:
            ended = self.has_ended()  # before reading: what came in between is read next
            written = self.catch_up()
            if ended and written == 0:
                return
            time.sleep(seconds)


def claim(out):
    """Makes the folder ours, and empties it of what an earlier follower wrote."""
    marker = os.path.join(out, MARKER)
    old = glob.glob(os.path.join(glob.escape(out), "events.out.tfevents.*"))
    if old and not os.path.exists(marker):
        sys.exit(f"follow.py: '{out}' holds event files of something else, allowed: an empty or a new folder")
    os.makedirs(out, exist_ok=True)
    open(marker, "w").close()
    for path in old:
        os.remove(path)


def main():
    parser = argparse.ArgumentParser(description="Follows a run's metrics.jsonl into TensorBoard event files.")
    parser.add_argument("run", metavar="RUN_DIR")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the event files")
    parser.add_argument("--once", action="store_true", help="write what is there and end")
    parser.add_argument("--seconds", type=float, default=2.0, help="between two looks (default: 2)")
    options = parser.parse_args()
    if not os.path.isdir(options.run):
        parser.error(f"'{options.run}' is no folder")
    if not 0.05 <= options.seconds <= 3600:
        parser.error(f"--seconds {options.seconds}, allowed: 0.05 to 3600")
    claim(options.out)
    follower = Follower(options.run, options.out)
    try:
        follower.catch_up() if options.once else follower.follow(options.seconds)
    except KeyboardInterrupt:
        pass
    follower.events.close()
    if follower.passed_over:
        print(f"follow.py: {follower.passed_over} damaged lines passed over", file=sys.stderr)


if __name__ == "__main__":
    main()
