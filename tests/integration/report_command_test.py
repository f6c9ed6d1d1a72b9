"""`hetmoe report`: a run directory in, a page and a table out, whatever state the run is in."""

import base64
import csv
import hashlib
import html.parser
import json
import os
import re
import shutil
import signal
import time
import unittest

from command_line import HETMOE, CommandLineCase, mpirun

TRAINING = ["small.yaml", "--set", "evaluate.every_steps=0", "--set", "placement.every=2",
            "--set", "model.router.forced=W5", "--set", "train.steps=8", "--set", "checkpoint.every_steps=4"]
VOID = {"meta", "link", "br", "img", "circle", "rect", "line", "path"}


class WellFormed(html.parser.HTMLParser):
    """Collects texts and attributes; every element that is opened must be closed."""

    def __init__(self):
        super().__init__()
        self.open, self.faults, self.texts, self.attributes, self.elements = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, text):
        self.texts.append(text)


class Report(CommandLineCase):
    def run_directory(self, name="run", *more, ranks=2):
        code, _, err = self.train(*TRAINING, "--run-dir", name, *more, ranks=ranks)
        self.assertEqual((code, err), (0, ""))
        return self.folder / name

    def invented(self, name="run", steps=5):
        """A run directory of the contract's lines without training."""
        lines = [json.dumps({"step": step, "generation": 1, "tokens": 64 * step, "loss": 5 - 0.1 * step,
                             "step_seconds": 0.5, "tokens_per_second": 128.0}) for step in range(1, steps + 1)]
        self.write(f"{name}/metrics.jsonl", "\n".join(lines) + "\n")
        return self.folder / name

    def report(self, *arguments):
        return self.run_command(HETMOE, "report", *arguments)

    def page(self, path="run/report.html"):
        text = (self.folder / path).read_text(encoding="utf-8")
        parsed = WellFormed()
        parsed.feed(text)
        parsed.close()
        self.assertEqual((parsed.faults, parsed.open), ([], []))
        return text, parsed

    def test_a_real_run_becomes_a_page_of_its_own(self):
        self.run_directory()
        code, out, err = self.report("run")
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(out.startswith("written: run/report.html ("), out)
        text, parsed = self.page()
        words = " ".join(parsed.texts)
        for part in ("finished", "8 \n", "Loss", "Learning rate", "Where a step's time goes", "What each rank holds",
                     "Checkpoints", "Starts", "model.hidden_size"):
            self.assertIn(part.strip(), words)
        self.assertIn("4 experts of width 18, 27, 37, 46", words)
        self.assertLess(len(text), 300_000)

    def test_the_page_asks_for_nothing_and_only_its_script_may_run(self):
        self.invented()
        self.assertEqual(self.report("run")[0], 0)
        text, parsed = self.page()
        for name, value in parsed.attributes:
            self.assertNotIn(name, ("src", "href", "srcset", "action", "style"))
            self.assertFalse(name.startswith("on"), name)
            self.assertNotIn("://", value or "")
        scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        self.assertEqual(len(scripts), 1)
        digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
        self.assertIn(f"script-src &#39;sha256-{digest}&#39;".replace("&#39;", "'"), text)

    def test_several_runs_are_compared(self):
        self.run_directory("a")
        self.run_directory("b", "--set", "train.learning_rate=0.01")
        code, out, err = self.report("a", "b", "--out", "both.html")
        self.assertEqual((code, err), (0, ""))
        self.assertFalse((self.folder / "a/report.html").exists())
        text, _ = self.page("both.html")
        differences = text[text.index("<h2>Differences</h2>"):]
        keys = re.findall(r'<tr><td class="text">([^<]*)</td>', differences[:differences.index("</table>")])
        self.assertEqual(keys, ["train.learning_rate"])
        self.assertIn("Training loss by tokens", text)

    def test_the_table_holds_each_step_once_with_its_last_line(self):
        run = self.run_directory()
        lines = self.read_lines("run/metrics.jsonl")
        again = dict(lines[-1], loss=1.25, generation=2)
        with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(again) + "\n")
        code, out, _ = self.report("run", "--csv", "table.csv")
        self.assertEqual(code, 0)
        self.assertIn("written: table.csv (", out)
        with open(self.folder / "table.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["step"] for row in rows], [str(step) for step in range(1, 9)])
        self.assertEqual({row["run"] for row in rows}, {"run"})
        self.assertEqual(float(rows[-1]["loss"]), 1.25)
        for row, line in zip(rows[:-1], lines):
            self.assertEqual(float(row["loss"]), line["loss"])
            self.assertEqual(float(row["phase_seconds.expert"]), line["phase_seconds"]["expert"])
            self.assertEqual(float(row["aux.load_balance"]), line["aux"]["load_balance"])

    def test_a_run_that_goes_on_is_shown_as_it_is(self):
        process = self.start(*mpirun(2, HETMOE, "train", *TRAINING, "--run-dir", "run", "--set", "train.steps=1000000"))
        metrics, deadline = self.folder / "run/metrics.jsonl", time.monotonic() + 50
        while not (metrics.exists() and metrics.stat().st_size > 2000):
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        code, _, _ = self.report("run")
        self.assertEqual(code, 0)
        text, _ = self.page()
        self.assertIn(">running</span>", text)
        process.send_signal(signal.SIGUSR1)  # a killed mpirun would leave ranks that write for a while
        process.communicate(timeout=50)
        self.assertEqual(process.returncode, 75)

    def test_a_killed_run_is_lost(self):
        process = self.start(HETMOE, "train", *TRAINING, "--run-dir", "run", "--set", "train.steps=1000000")
        metrics, deadline = self.folder / "run/metrics.jsonl", time.monotonic() + 50
        while not (metrics.exists() and metrics.stat().st_size > 2000):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        process.kill()
        process.wait()
        self.assertEqual(self.report("run")[0], 0)
        self.assertIn(">lost</span>", self.page()[0])

    def test_damage_is_named_and_the_rest_shown(self):
        run = self.run_directory()
        text = (run / "metrics.jsonl").read_text()
        (run / "metrics.jsonl").write_bytes(b"\xff\xfe\x00\n" + text.encode() + b"{}\n" + text[:100].encode())
        (run / "events.jsonl").write_text("[" * 100000 + "\n")
        (run / "config.yaml").write_text("model: {experts: *alias}\n")
        (run / "plan.json").write_text('{"layers": [{"slices": 3}]}')
        code, _, err = self.report("run")
        self.assertEqual(code, 0)
        page, parsed = self.page()
        for fault in ("metrics.jsonl: 2 of 10 lines damaged, the first is line 1",
                      "metrics.jsonl: the last line is not complete",
                      "events.jsonl: 1 of 1 lines damaged, the first is line 1", "config.yaml:", "plan.json:"):
            self.assertIn(fault, err)
            self.assertIn(fault, " ".join(parsed.texts))
        self.assertNotIn(str(self.folder), page)
        self.assertIn("Loss", page)

    def test_each_file_alone_is_a_run_and_none_is_not(self):
        self.run_directory()
        for name in ("metrics.jsonl", "events.jsonl", "config.yaml", "plan.json", "exit.json"):
            alone = self.folder / f"alone-{name}"
            alone.mkdir()
            shutil.copy(self.folder / "run" / name, alone)
            code, _, err = self.report(alone.name)
            self.assertEqual(code, 0, err)
            self.page(f"{alone.name}/report.html")
        (self.folder / "nothing").mkdir()
        for path in ("nothing", "absent", "small.yaml"):
            code, out, err = self.report(path)
            self.assertEqual((code, out, len(err.splitlines())), (2, "", 1))
            self.assertIn(f"'{path}' is no run directory", err)
        self.assertEqual(list((self.folder / "nothing").iterdir()), [])

    def test_a_folder_that_holds_its_files_as_folders_or_pipes_ends_all_the_same(self):
        run = self.folder / "run"
        for name in ("metrics.jsonl", "config.yaml", "exit.json"):
            (run / name).mkdir(parents=True)
        for name in ("events.jsonl", "plan.json", "lock.json"):
            os.mkfifo(run / name)
        code, _, err = self.report("run")
        self.assertEqual(code, 0)
        self.assertIn("metrics.jsonl: cannot be read", err)
        self.page()

    def test_markup_in_names_and_files_stays_text(self):
        attack = "<script>document.title='owned'</script>\"'><img src=x onerror=y>"
        name = "run<img src=x onerror=alert(1)>"
        run = self.invented(name)
        (run / "config.yaml").write_text(f"model: {{num_layers: {json.dumps(attack)}}}\ntrain: {{seed: {json.dumps(attack)}}}\n")
        event = {"time": attack, "generation": 1, "step": 3, "rank": 0, "event": "stopped", "reason": attack}
        started = {"time": "2026-11-22T00:00:00.000Z", "generation": 1, "step": 0, "rank": 0, "event": "started",
                   "ranks": 2, "precision": attack}
        (run / "events.jsonl").write_text(json.dumps(started) + "\n" + json.dumps(event) + "\n")
        (run / "exit.json").write_text(json.dumps({"code": 3, "reason": attack}))
        self.invented("other")
        for arguments in ([name], [name, "other"]):
            code, _, err = self.report(*arguments, "--out", "out.html")
            self.assertEqual(code, 0, err)
            _, parsed = self.page("out.html")
            self.assertEqual(parsed.elements.count("script"), 1)
            self.assertNotIn("img", parsed.elements)
            self.assertFalse([name for name, _ in parsed.attributes if name.startswith("on")])
            self.assertIn(attack, " ".join(parsed.texts))

    def test_what_cannot_be_written_is_said_before_anything_is_read(self):
        self.invented()
        code, out, err = self.report("run", "--out", "absent/report.html")
        self.assertEqual((code, out, len(err.splitlines())), (3, "", 1))
        self.assertIn("absent/report.html", err)
        code, out, err = self.report("run", "--csv", "run")
        self.assertEqual((code, out, len(err.splitlines())), (3, "", 1))
        self.assertFalse((self.folder / "run/report.html").exists())

    def test_too_many_runs_are_refused(self):
        self.invented()
        code, out, err = self.report(*["run"] * 101)
        self.assertEqual((code, out), (2, ""))
        self.assertIn("101 run directories given, allowed: 1 to 100", err)
        self.assertEqual(self.report()[0], 2)


if __name__ == "__main__":
    unittest.main()
