"""A real Prometheus scrapes real runs: series, targets, alerts that fire and clear, tokens, the console in a browser."""

import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import warnings

from bad_disk import BadDiskCase
from command_line import HETMOE, PROJECT, mpirun

WAIT_SECONDS = 90
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
# The names that others build on (DESIGN, section 10), and those that nobody else exports.
RUN_FAMILIES = """tokens_total loss step_duration_seconds_bucket phase_duration_seconds_sum expert_tokens_total expert_width
    flops_max_over_mean_ratio step_flops_max_over_mean_ratio all_to_all_bytes_total other_node_bytes_total rebalances_total last_step_timestamp_seconds
    checkpoint_last_success_timestamp_seconds checkpoint_failures_total effective_training_time_ratio generation step
    parameter_bytes_total parameter_hidden_bytes_total plan_predicted_expert_seconds auxiliary_loss gradient_norm learning_rate skipped_steps_total model_flops_total gradient_bytes_total ranks ranks_joined
    ranks_silent rebalance_predicted_gain_seconds rebalance_measured_gain_seconds coordinator_calls_total run_info""".split()
RANK_FAMILIES = """rank_step rank_steps_total rank_step_seconds_total rank_phase_seconds_total rank_all_to_all_bytes_total
    rank_expert_flops_total rank_resident_memory_peak_bytes
    rank_device_memory_peak_bytes rank_coordinator_reached""".split()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def fetch(url, token=None):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


class ScrapedCase(BadDiskCase):
    def targets(self, run="run"):
        return self.read_json(f"{run}/prometheus/targets.json")

    def page_of(self, target):
        return f"http://{target['targets'][0]}{target['labels']['__metrics_path__']}"

    def page_saying(self, target, word):
        """The page, or nothing as long as it does not hold the word."""
        page = fetch(self.page_of(target))
        return page if word in page else None

    def wait_for(self, holds, what):
        """A refusal or an empty answer counts as not yet."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                found = holds()
            except (OSError, ValueError, KeyError, IndexError):
                found = None
            if found:
                return found
            self.assertLess(time.monotonic(), deadline, f"it takes too long until {what}")
            time.sleep(0.1)


class Scraped(ScrapedCase):
    def setUp(self):
        super().setUp()
        # As shipped, but nobody waits for minutes.
        here = self.folder / "prometheus"
        shutil.copytree(PROJECT / "deploy/prometheus", here)
        alerts = here / "alerts.yml"
        alerts.write_text(re.sub(r"for: \d+m", "for: 2s", alerts.read_text()))
        self.base = f"http://127.0.0.1:{free_port()}"
        environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        server = subprocess.Popen([here / "start.sh", "--listen", self.base[7:], "--interval", "1s", self.folder / "run"],
                                  env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        def end():
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)

        self.addCleanup(end)
        self.assertRegex(server.stdout.readline(), r"^prometheus: no run in \S+/run yet")
        self.assertIn(f"{self.base}/consoles/hetmoe.html", server.stdout.readline())

    def ask(self, path, **parameters):
        answer = json.loads(fetch(f"{self.base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        self.assertEqual(answer["status"], "success")
        return answer["data"]

    def test_a_run_beyond_loopback_is_found_with_its_token_and_certificate_though_both_come_later(self):
        for start in (1, 2):
            job = self.start_run("metrics.listen=0.0.0.0:0")
            self.wait_for(lambda: len(self.healthy()) == 3, f"all are scraped over TLS at start {start}")
            targets = self.targets()
            self.assertEqual({one["labels"]["__scheme__"] for one in targets}, {"https"})
            self.check_wire(targets[1])
            job.send_signal(signal.SIGUSR1)
            self.assertEqual(self.end_of(job)[0], 75)

    def check_wire(self, target):
        token = (self.folder / "run/prometheus/token").read_text()
        address = ("127.0.0.1", int(target["targets"][0].rsplit(":", 1)[1]))
        trusted = ssl.create_default_context(cafile=str(self.folder / "run/prometheus/certificate.pem"))
        with socket.create_connection(address) as plain, trusted.wrap_socket(plain, server_hostname="hetmoe-coordinator") as wire:
            self.assertIn(wire.version(), ("TLSv1.2", "TLSv1.3"))
            wire.sendall(f"GET /metrics HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            self.assertIn(b" 200 OK", wire.recv(100))
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(address) as plain, self.assertRaises((ssl.SSLError, OSError)):
            old.wrap_socket(plain)

    def value(self, query, when=None):
        when = {} if when is None else {"time": when}
        return float(self.ask("query", query=query, **when)["result"][0]["value"][1])

    def firing(self, name):
        return [alert["labels"] for alert in self.ask("alerts")["alerts"]
                if alert["labels"]["alertname"] == name and alert["state"] == "firing"]

    def healthy(self):
        return [one for one in self.ask("targets")["activeTargets"] if one["health"] == "up"]

    def names(self, **labels):
        match = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
        return self.ask("label/__name__/values", **{"match[]": match})

    def test_a_run_from_its_begin_to_its_end(self):
        job = self.start_run("checkpoint.every_steps=200", "model.num_layers=1", "model.router.forced=W5",
                             "train.collective_seconds=600")
        self.wait_for(lambda: len(self.healthy()) == 3, "two ranks and the coordinator are scraped")
        self.check_series()
        starved = self.wait_for(lambda: self.firing("HetmoeExpertStarved"), "an expert without tokens is told of")
        self.assertEqual({one["run"] for one in starved}, {"run"})
        self.check_stale_checkpoint(job)
        self.check_stopped_rank()
        self.check_console()
        self.check_dashboard()
        job.send_signal(signal.SIGUSR1)
        code, _, err = self.end_of(job)
        self.assertEqual(code, 75, err)
        self.assertEqual(self.targets(), [])
        self.wait_for(lambda: not self.ask("targets")["activeTargets"], "the targets have gone with the run")

    def check_series(self):
        self.wait_for(lambda: self.value("hetmoe_checkpoint_last_success_step") > 0, "a checkpoint is committed")
        by_role = {role: set(self.names(role=role, job="hetmoe")) for role in ("coordinator", "rank")}
        for family in RUN_FAMILIES:
            self.assertIn(f"hetmoe_{family}", by_role["coordinator"])
        for family in RANK_FAMILIES:
            self.assertIn(f"hetmoe_{family}", by_role["rank"])
        ours = [{name for name in names if name.startswith("hetmoe_")} for names in by_role.values()]
        self.assertEqual(ours[0] & ours[1], set(), "nothing is exported twice")
        for target in self.targets():
            lint = subprocess.run(["promtool", "check", "metrics"], input=fetch(self.page_of(target)), text=True,
                                  capture_output=True, check=False)
            self.assertEqual((lint.returncode, lint.stdout + lint.stderr), (0, ""))
        listed = json.loads(fetch(f"http://{self.targets()[0]['targets'][0]}/targets"))
        self.assertEqual(sorted(map(str, listed)), sorted(map(str, self.targets())), "http_sd and file_sd agree")
        # What was scraped is what the run wrote; both values come from one scrape. Pages bear 16 digits, the run's own lines 17.
        now = time.time()
        step, loss, tokens = (self.value(name, now) for name in ("hetmoe_step", "hetmoe_loss", "hetmoe_trained_tokens"))
        line = next(line for line in self.read_lines_so_far("run/metrics.jsonl") if line.get("step") == step)
        self.assertEqual(tokens, line["tokens"])
        self.assertTrue(math.isclose(loss, line["loss"], rel_tol=1e-15), (loss, line["loss"]))

    def read_lines_so_far(self, name):
        return [json.loads(line) for line in (self.folder / name).read_text().split("\n")[:-1]]

    def check_stale_checkpoint(self, job):
        self.assertEqual(self.firing("HetmoeCheckpointStale"), [])
        self.disk("write ENOSPC /shard-00000")
        self.wait_for(lambda: self.firing("HetmoeCheckpointStale"), "a checkpoint that is stale is told of")
        self.wait_for(lambda: self.firing("HetmoeCheckpointFailing"), "saves that fail are told of")
        self.assertIsNone(job.poll(), "training goes on")
        self.disk()
        self.wait_for(lambda: not self.firing("HetmoeCheckpointStale"), "it is no longer stale")

    def check_stopped_rank(self):
        stopped = self.ranks_of(2)[1]
        self.assertEqual(self.firing("HetmoeTargetDown"), [])
        os.kill(stopped, signal.SIGSTOP)
        try:
            down = self.wait_for(lambda: self.firing("HetmoeTargetDown"), "a rank that does not answer is told of")
            self.assertEqual({one.get("rank") for one in down}, {"1"})
            self.wait_for(lambda: self.firing("HetmoeRanksSilent"), "the coordinator misses it too")
        finally:
            os.kill(stopped, signal.SIGCONT)
        self.wait_for(lambda: not self.firing("HetmoeTargetDown"), "it is there again")
        self.wait_for(lambda: not self.firing("HetmoeRanksSilent"), "the coordinator hears it again")

    def check_console(self):
        page = fetch(f"{self.base}/consoles/hetmoe.html")
        self.assertIn("<td>run</td>", page)
        self.assertNotIn("error", page.lower())
        if BROWSER is None:
            print("without chromium-headless-shell the page is not drawn", file=sys.stderr)
            return
        for width in (1280, 390):
            shown = subprocess.run(
                [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--window-size={width},2000",
                 "--virtual-time-budget=8000", "--dump-dom", f"{self.base}/consoles/hetmoe.html"],
                capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(re.findall(r".*CONSOLE.*", shown.stderr), [])
            self.assertEqual(shown.stdout.count("<svg"), 8, "one chart per question")
            self.assertGreater(len(re.findall(r"<path d=\"M", shown.stdout)), 10, "with lines in them")


    def check_dashboard(self):
        """Every question of the Grafana dashboard has an answer here, but for what this run does not configure."""
        board = json.loads((PROJECT / "deploy/grafana/hetmoe.json").read_text())
        asked = [(panel["title"], one["expr"]) for panel in board["panels"] for one in panel.get("targets", [])]
        self.assertGreater(len(asked), 20)
        without = [expr for _, expr in asked if not self.ask("query", query=expr.replace("$run", ".*"))["result"]]
        self.assertEqual([expr for expr in without if "utilization" not in expr and "predicted_expert" not in expr], [])
        places = [(p["gridPos"]["x"] + p["gridPos"]["w"], p["title"]) for p in board["panels"]]
        self.assertEqual([title for right, title in places if right > 24], [])
        self.assertEqual(len({p["id"] for p in board["panels"]}), len(board["panels"]))


class Served(ScrapedCase):
    def test_beyond_loopback_only_with_the_runs_token(self):
        job = self.start_run("metrics.listen=0.0.0.0:0", "coordinator.insecure=true")
        targets = self.wait_for(self.targets, "targets are written")
        self.assertEqual(targets[0]["labels"]["host"], socket.gethostname())
        token_file = self.folder / "run/prometheus/token"
        self.assertEqual(stat.S_IMODE(token_file.stat().st_mode), 0o600)
        token = token_file.read_text()
        for target in targets:
            page = "http://127.0.0.1:" + self.page_of(target).rsplit(":", 1)[1]
            with self.assertRaises(urllib.error.HTTPError) as refused:
                fetch(page)
            self.assertEqual(refused.exception.code, 401)
            refused.exception.close()
            self.assertIn("# TYPE hetmoe_", fetch(page, token))
        written = [path for path in (self.folder / "run").rglob("*") if path.is_file() and path != token_file]
        for path in written:
            self.assertNotIn(token.encode(), path.read_bytes(), f"{path} tells the token")
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(self.end_of(job)[0], 75)

    def test_a_prometheus_that_asks_the_coordinator_for_its_targets(self):
        job = self.start_run()
        address = self.wait_for(self.targets, "targets are written")[0]["targets"][0]
        config = self.folder / "prometheus.yml"
        config.write_text(f"""global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: hetmoe, http_sd_configs: [{{url: 'http://{address}/targets', refresh_interval: 1s}}]}}]
""")
        base = f"127.0.0.1:{free_port()}"
        environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        server = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data",
                                   f"--web.listen-address={base}", "--log.level=error"], env=environment)
        try:
            up = f"http://{base}/api/v1/query?" + urllib.parse.urlencode({"query": 'sum by (role) (up{run="run"})'})
            self.wait_for(lambda: {one["metric"]["role"]: one["value"][1] for one in json.loads(fetch(up))["data"]["result"]}
                          == {"coordinator": "1", "rank": "2"}, "two ranks and the coordinator are scraped")
        finally:
            server.terminate()
            server.wait()
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(self.end_of(job)[0], 75)

    def test_a_port_that_is_taken_ends_the_run_with_its_name(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            code, _, err = self.train("small.yaml", "--run-dir", "run", "--set", f"metrics.listen={address}")
        self.assertEqual(code, 2)
        self.assertRegex(err, rf"hetmoe: cannot serve metrics on {address}: .+\n$")

    def test_a_folder_that_takes_no_targets_ends_the_run_with_its_name(self):
        self.write("run/prometheus", "somebody's file")
        code, _, err = self.train("small.yaml", "--run-dir", "run")
        self.assertEqual(code, 3, err)
        self.assertRegex(err, r"hetmoe: .*run/prometheus.*\n$")
        self.assertEqual((self.folder / "run/prometheus").read_text(), "somebody's file")

    def test_an_address_that_is_none_is_named(self):
        for address in (":0", "here", "here:port", "127.0.0.1:65536", "none:"):
            code, _, err = self.train("small.yaml", "--run-dir", "run", "--set", f"metrics.listen={address}")
            self.assertEqual((code, err), (2, f"hetmoe: metrics.listen is '{address}', allowed: HOST:PORT, none, or nothing\n"))

    def test_ranks_of_a_host_take_the_ports_after_the_one_given(self):
        port = free_port()
        job = self.start_run(f"metrics.listen=127.0.0.1:{port}")
        targets = self.wait_for(self.targets, "targets are written")
        self.assertEqual([one["targets"] for one in targets],
                         [[f"127.0.0.1:{port}"], [f"127.0.0.1:{port}"], [f"127.0.0.1:{port + 1}"]])
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(self.end_of(job)[0], 75)

    def test_scrapes_during_the_end_are_answered_or_refused(self):
        job = self.start_run()
        targets = self.wait_for(self.targets, "targets are written")
        answered, others = [0], []

        def scrape(page):
            while job.poll() is None:
                try:
                    answered[0] += fetch(page).count("# TYPE")
                except OSError:
                    pass
                except Exception as error:  # noqa: BLE001: whatever else comes must be seen
                    others.append(repr(error))

        scrapers = [threading.Thread(target=scrape, args=(self.page_of(target),)) for target in targets]
        for scraper in scrapers:
            scraper.start()
        self.wait_until(lambda: answered[0] > 100, job)
        job.send_signal(signal.SIGUSR1)
        code, _, err = self.end_of(job)
        for scraper in scrapers:
            scraper.join()
        self.assertEqual((code, others), (75, []), err)

    def test_nothing_is_served_when_nobody_is_to_be(self):
        code, _, err = self.train("small.yaml", "--run-dir", "run", "--set", "metrics.listen=none")
        self.assertEqual(code, 0, err)
        self.assertFalse((self.folder / "run/prometheus").exists())

    def test_tokens_by_layer_and_expert_on_request(self):
        job = self.start_run("metrics.detail=true")
        targets = self.wait_for(self.targets, "targets are written")
        text = self.wait_for(lambda: self.page_saying(targets[1], "layer_expert"), "the first step is over")
        series = re.findall(r'hetmoe_layer_expert_tokens_total{expert="(\d)",layer="(\d)"} (\d+)', text)
        self.assertEqual(len(series), 2 * 4)
        self.assertNotIn("layer_expert", fetch(self.page_of(targets[2])), "only rank 0 tells")
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(self.end_of(job)[0], 75)


class Rules(unittest.TestCase):
    def test_every_rule_does_what_its_test_says(self):
        here = PROJECT / "deploy/prometheus"
        for words in (["check", "rules", "rules.yml", "alerts.yml"], ["test", "rules", "rules_test.yml"]):
            done = subprocess.run(["promtool", *words], cwd=here, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_has_a_test_that_sees_it_fire(self):
        alerts = re.findall(r"alert: (\w+)", (PROJECT / "deploy/prometheus/alerts.yml").read_text())
        tests = (PROJECT / "deploy/prometheus/rules_test.yml").read_text()
        for alert in alerts:
            self.assertRegex(tests, rf"alertname: {alert}\n\s+exp_alerts:")


if __name__ == "__main__":
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        print("skipped: no prometheus here", file=sys.stderr)
        sys.exit(77)
    unittest.main()
