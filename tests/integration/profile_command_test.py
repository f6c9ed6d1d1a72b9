"""`hetmoe train --profile`: a table and a trace that say the same."""

import json
import re
import unittest

from command_line import CommandLineCase

MILLISECONDS = 1e-3  # of a trace's microseconds


class Profile(CommandLineCase):
    def profile(self, ranks):
        code, out, err = self.train("small.yaml", "--run-dir", "run", "--set", "train.steps=6", "--profile", "2", ranks=ranks)
        self.assertEqual((code, err), (0, ""))
        return out

    def events(self, rank):
        trace = json.loads((self.folder / f"run/profile/rank-{rank}.trace.json").read_text())
        return [event for event in trace["traceEvents"] if event["ph"] == "X"]

    def test_every_rank_writes_a_table_and_a_trace_of_the_steps_after_the_third(self):
        out = self.profile(ranks=2)
        for rank in (0, 1):
            table = (self.folder / f"run/profile/rank-{rank}.txt").read_text()
            self.assertTrue(table.startswith(f"profile of steps 4 to 5, rank {rank} of 2, fp32, 1 thread\n"), table)
            self.assertEqual(table in out, rank == 0)
            steps = [event for event in self.events(rank) if event["cat"] == "step"]
            self.assertEqual([event["name"] for event in steps], ["step 4", "step 5"])
            self.assertEqual({event["pid"] for event in self.events(rank)}, {rank})

    def test_the_table_sums_up_the_trace(self):
        self.profile(ranks=1)
        table = (self.folder / "run/profile/rank-0.txt").read_text()
        events = self.events(0)
        steps = [event["dur"] for event in events if event["cat"] == "step"]
        told = float(re.search(r"^all +([0-9.]+)", table, re.M)[1])
        self.assertAlmostEqual(told, sum(steps) / len(steps) * MILLISECONDS, delta=0.006)
        rows = re.findall(r"^(\w*) +(\(not told\)|[a-z ]+?) +(\d+) +([0-9.]+) +([0-9.]+) %", table, re.M)
        self.assertAlmostEqual(sum(float(row[3]) for row in rows), told, delta=0.01 * len(rows))
        adamw = [event["dur"] for event in events if event["name"] == "adamw"]
        row = next(row for row in rows if row[1] == "adamw")
        self.assertEqual(int(row[2]), len(adamw) // len(steps))
        self.assertAlmostEqual(float(row[3]), sum(adamw) / len(steps) * MILLISECONDS, delta=0.006)

    def test_operations_lie_within_their_phases_and_these_within_steps(self):
        self.profile(ranks=1)
        events = self.events(0)
        self.assertLessEqual({"forward", "backward", "optimizer"}, {e["name"] for e in events if e["cat"] == "phase"})
        self.assertLessEqual({"attention", "expert", "router", "adamw"}, {e["name"] for e in events if e["cat"] == "operation"})
        for inner, outer in (("operation", "phase"), ("phase", "step")):
            for event in (e for e in events if e["cat"] == inner):
                begin, end = event["ts"], event["ts"] + event["dur"]
                self.assertTrue(any(e["cat"] == outer and e["ts"] - 0.01 <= begin and end <= e["ts"] + e["dur"] + 0.01
                                    for e in events), event)

    def test_losses_are_those_without_it(self):
        self.profile(ranks=1)
        code, _, err = self.train("small.yaml", "--run-dir", "plain", "--set", "train.steps=6")
        self.assertEqual((code, err), (0, ""))
        losses = [[line["loss"] for line in self.read_lines(f"{run}/metrics.jsonl")] for run in ("run", "plain")]
        self.assertEqual(*losses)

    def test_a_run_that_is_shorter_is_told_as_far_as_it_goes(self):
        code, out, err = self.train("small.yaml", "--run-dir", "run", "--set", "train.steps=2", "--profile", "9")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("profile of steps 1 to 2, ", out)


if __name__ == "__main__":
    unittest.main()
