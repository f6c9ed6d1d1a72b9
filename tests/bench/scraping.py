"""What one scrape a second costs: two ranks of real training, scraped in every other window of ten seconds.

  scraping.py [WINDOWS]   thread seconds of a rank beside the training's own, per scrape; mean step seconds of
                          scraped windows over those of the unscraped ones beside them

One JSON line. Needs a release build and an otherwise idle machine of two cores.
"""

import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from workloads import ENVIRONMENT, HETMOE, command_line

CONFIGURATION = """\
model: {vocab_size: 8192, hidden_size: 256, num_layers: 6, experts: {count: 16, mean_width: 256}}
data: {train: random}
train: {steps: 1000000, global_batch: 4, sequence_length: 128}
evaluate: {every_steps: 0}
placement: {every: 0}
checkpoint: {every_steps: 0, last_step: false}
parallel: {threads: 1}
"""
SECONDS = 10


class Run:
    def __init__(self, folder):
        self.folder = folder
        self.metrics = (folder / "run/metrics.jsonl").open()
        self.rest = ""
        self.targets = []
        while len(self.targets) < 3:
            time.sleep(0.5)
            file = folder / "run/prometheus/targets.json"
            self.targets = json.loads(file.read_text()) if file.exists() else []
        self.ranks = [member["process"] for member in self.status()["members"]]

    def status(self):
        done = subprocess.run([HETMOE, "status", self.folder / "run", "--json"], capture_output=True, check=True)
        return json.loads(done.stdout)

    def steps(self):
        """Step seconds since the last call."""
        *lines, self.rest = (self.rest + self.metrics.read()).split("\n")
        return [json.loads(line)["step_seconds"] for line in lines]

    def beside_seconds(self):
        """Of both ranks: what their threads but the first have run, by the scheduler's account."""
        total = 0
        for rank in self.ranks:
            for thread in pathlib.Path(f"/proc/{rank}/task").iterdir():
                if thread.name != str(rank):
                    total += int((thread / "schedstat").read_text().split()[0])
        return total / 1e9

    def scrape(self):
        for target in self.targets:
            url = f"http://{target['targets'][0]}{target['labels']['__metrics_path__']}"
            request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()

    def window(self, is_scraped):
        """(mean step seconds, thread seconds beside training)"""
        self.steps()
        begin = self.beside_seconds()
        for _ in range(SECONDS):
            end = time.monotonic() + 1
            if is_scraped:
                self.scrape()
            time.sleep(max(0.0, end - time.monotonic()))
        return statistics.mean(self.steps()), self.beside_seconds() - begin


def main(windows):
    with tempfile.TemporaryDirectory(prefix="hetmoe-") as name:
        folder = pathlib.Path(name)
        (folder / "config.yaml").write_text(CONFIGURATION)
        (folder / "run").mkdir()
        (folder / "run/metrics.jsonl").touch()
        job = subprocess.Popen(command_line(2, "train", folder / "config.yaml", "--run-dir", folder / "run"),
                               env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        try:
            run = Run(folder)
            time.sleep(5)
            pairs = []
            for index in range(windows):
                order = (True, False) if index % 2 else (False, True)
                seen = {is_scraped: run.window(is_scraped) for is_scraped in order}
                pairs.append((seen[True], seen[False]))
        finally:
            job.send_signal(signal.SIGTERM)
            job.wait()
    costs = [(scraped[1] - plain[1]) / (2 * SECONDS) for scraped, plain in pairs]
    print(json.dumps({
        "case": "scraping", "ranks": 2, "scrapes_per_second": 1, "window_seconds": SECONDS, "pairs": windows,
        "step_seconds": statistics.median(plain[0] for _, plain in pairs),
        "rank_seconds_per_second": statistics.median(costs),
        "step_seconds_ratio": statistics.median(scraped[0] / plain[0] for scraped, plain in pairs)}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
