"""The pages of `hetmoe report` in a browser: on a telephone and on a desk, in light and in dark.

Ends with code 77, which ctest takes for skipped, where no Chromium is installed.
"""

import collections
import json
import re
import shutil
import socket
import struct
import sys
import threading
import unittest
import zlib

from command_line import HETMOE, CommandLineCase

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
SKIPPED = 77
WIDTHS = [16, 24, 32, 56]

# What a page tells of itself, put where --dump-dom shows it: its width beyond the window, what the
# chart's values look like, and the texts that lie beyond their drawing.
PROBE = """
<script>
addEventListener("load", function () {
  const told = {wide: document.documentElement.scrollWidth, window: innerWidth, tips: [], outside: []};
  document.querySelectorAll("svg[data-kind]").forEach(function (svg) {
    const box = svg.getBoundingClientRect();
    svg.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 0.6 * box.width,
                                                       clientY: box.top + 0.5 * box.height}));
    told.tips.push(document.querySelector(".tip").textContent);
    svg.dispatchEvent(new PointerEvent("pointerleave"));
    told.hidden = document.querySelector(".tip").hidden;
  });
  document.querySelectorAll("svg.chart").forEach(function (svg) {
    const box = svg.getBoundingClientRect();
    svg.querySelectorAll("text").forEach(function (text) {
      const own = text.getBoundingClientRect();
      if (own.width && (own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1))
        told.outside.push(svg.getAttribute("aria-label") + ": " + text.textContent);
    });
  });
  document.documentElement.setAttribute("data-told", JSON.stringify(told));
});
</script>
"""


class Door:
    """A proxy that lets nobody through and counts who asked."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    self.asked.append(connection.recv(200).split(b"\r\n")[0].decode(errors="replace"))
                    connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError:
                    self.asked.append("nothing")

    def close(self):
        self.socket.close()


def colours_of(png):
    """How often each colour occurs in every fourth line of a picture of 8 bits per channel."""
    place, image = 8, b""
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place:place + 8])
        chunk = png[place + 8:place + 8 + length]
        place += length + 12
        if kind == b"IHDR":
            width, height, depth, colour_type = struct.unpack(">IIBB", chunk[:10])
        if kind == b"IDAT":
            image += chunk
    assert depth == 8 and colour_type in (2, 6), (depth, colour_type)
    pixel = 3 if colour_type == 2 else 4
    raw, stride = zlib.decompress(image), width * pixel
    counts, above = collections.Counter(), bytearray(stride)
    for row in range(height):
        begin = row * (stride + 1)
        line = unfiltered(raw[begin], bytearray(raw[begin + 1:begin + 1 + stride]), above, pixel)
        if row % 4 == 0:
            counts.update(bytes(line[i:i + 3]) for i in range(0, stride, pixel))
        above = line
    return counts, (width, height)


def unfiltered(kind, line, above, pixel):
    if kind == 1:
        for i in range(pixel, len(line)):
            line[i] = (line[i] + line[i - pixel]) & 255
    elif kind == 2:
        for i in range(len(line)):
            line[i] = (line[i] + above[i]) & 255
    elif kind == 3:
        for i in range(len(line)):
            left = line[i - pixel] if i >= pixel else 0
            line[i] = (line[i] + (left + above[i]) // 2) & 255
    elif kind == 4:
        for i in range(len(line)):
            left, corner = (line[i - pixel], above[i - pixel]) if i >= pixel else (0, 0)
            guess = left + above[i] - corner
            near = min((abs(guess - left), 0, left), (abs(guess - above[i]), 1, above[i]),
                       (abs(guess - corner), 2, corner))
            line[i] = (line[i] + near[2]) & 255
    return line


class ReportBrowser(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.door = Door()
        self.addCleanup(self.door.close)

    def write_run(self, name, steps, experts=4, ranks=3, seed=1):
        """A run with everything in it that a page shows."""
        widths = [WIDTHS[i % 4] + 8 * (i // 4) for i in range(experts)]
        lines, value = [], seed
        for step in range(1, steps + 1):
            value = (value * 48271) % 2147483647
            noise = value / 2147483647 - 0.5
            busy = 1.6 if step % 40 < 20 else 1.02
            tokens = [int(1000 / width * (2 + noise)) * 10 for width in widths]
            line = {"step": step, "generation": 1 + step // 50, "tokens": 1e6 * step, "loss": 3 + 5 / step ** 0.5 + noise / 5,
                    "aux": {"parameter_penalty": 4 + noise, "load_balance": 2.0, "router_entropy": 1.0},
                    "grad_norm": 10 ** noise, "learning_rate": 1e-4 / step, "skipped": 0,
                    "step_seconds": 0.2 + 0.1 * noise, "tokens_per_second": 2e6 * (1 + noise / 4),
                    "model_flops_per_second": 3e14, "flops_max_over_mean": busy, "bytes_all_to_all": 123456789,
                    "phase_seconds": {"data": 0.001, "forward": 0.05, "dispatch_wait": 0.02 + 0.02 * noise, "expert": 0.06,
                                      "combine_wait": 0.01, "backward": 0.03, "gradients": 0.01, "optimizer": 0.01,
                                      "parameters": 0.004, "other": 0.005},
                    "expert_tokens": tokens, "memory_bytes": 3 * 2 ** 30 + step,
                    "rank_expert_flops": [1e12 * busy] + [1e12 * (ranks - busy) / (ranks - 1)] * (ranks - 1)}
            lines.append(line)
            if step % 30 == 0:
                lines.append({"step": step, "generation": 1, "eval_loss": 3.2 + 5 / step ** 0.5, "eval_tokens": 1, "eval_bits_per_byte": 1.5})
        events, base = [], {"generation": 1, "rank": 0}
        for generation in range(1, 2 + steps // 50):
            when = f"2026-11-22T{generation % 24:02d}:00:00.000Z"
            events.append({"time": when, "generation": generation, "step": 50 * generation - 50, "rank": 0, "event": "started", "ranks": ranks, "precision": "bf16"})
        for step in range(20, steps, 20):
            events.append({"time": "2026-11-22T05:00:00.000Z", **base, "step": step, "event": "rebalance", "stage": "moved",
                           "predicted_gain_seconds": 0.02, "moving_seconds": 0.1, "moving_bytes": 12345678,
                           "planning_seconds": 0.003, "flops_max_over_mean_before": 1.6, "flops_max_over_mean_after": 1.01})
            events.append({"time": "2026-11-22T05:00:01.000Z", **base, "step": step, "event": "save_committed", "bytes": 10 ** 9, "seconds": 3.5, "blocked_seconds": 0.02})
        events.append({"time": "2026-11-22T05:00:02.000Z", **base, "step": steps, "event": "rank_lost", "reason": "rank-" + "x" * 200})
        slices = [{"expert": e, "rank": e % ranks, "begin": 0, "end": width, "share": 1.0} for e, width in enumerate(widths)]
        layer = {"slices": slices, "flops_max_over_mean": 1.0, "traffic_ratio": 1.0}
        plan = {"layers": [layer] * 2, "memory_max_over_mean": 1.0, "predicted_step_seconds": None, "bound_by": "none"}
        self.write(f"{name}/metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        self.write(f"{name}/events.jsonl", "".join(json.dumps(event) + "\n" for event in events))
        self.write(f"{name}/plan.json", json.dumps(plan))
        self.write(f"{name}/exit.json", json.dumps({"code": 0, "reason": "finished"}))
        self.write(f"{name}/config.yaml", f"model: {{num_layers: 2, hidden_size: 8, vocab_size: 9, experts: {{widths: {widths}}}}}\n"
                                          f"data: {{train: {'long-path/' * 40}}}\ntrain: {{steps: {steps}, seed: {seed}}}\n")

    def report(self, *runs):
        code, _, err = self.run_command(HETMOE, "report", *runs, "--out", "page.html")
        self.assertEqual((code, err), (0, ""))
        return self.folder / "page.html"

    def browse(self, page, *arguments, width=1280, height=900, dark=False):
        """Gives (standard output, lines of the page's console)."""
        process = self.start(
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking",
            "--disable-component-update", "--no-first-run", "--enable-logging=stderr",
            f"--proxy-server=127.0.0.1:{self.door.port}", "--proxy-bypass-list=<-loopback>",
            f"--user-data-dir={self.folder / 'browser'}", f"--window-size={width},{height}", "--virtual-time-budget=4000",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []), *arguments, page.as_uri())
        out, err = process.communicate(timeout=100)
        self.assertEqual(process.returncode, 0, err[-2000:])
        return out, [line for line in err.splitlines() if "CONSOLE" in line]

    def told_by(self, page, width):
        """What a copy of the page says of itself whose policy lets the probe's script run."""
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
        out, console = self.browse(self.write("probe.html", text + PROBE), "--dump-dom", width=width)
        self.assertEqual(console, [])
        found = re.search(r'data-told="([^"]*)"', out)
        self.assertIsNotNone(found, "the page's own script did not run to its end")
        return json.loads(found.group(1).replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))

    def assert_shown(self, page, **window):
        picture = self.folder / "picture.png"
        _, console = self.browse(page, f"--screenshot={picture}", **window)
        self.assertEqual(console, [])
        self.assertEqual(self.door.asked, [])
        return colours_of(picture.read_bytes())

    def test_a_page_is_drawn_at_both_widths_in_light_and_in_dark(self):
        self.write_run("run", 120)
        page = self.report("run")
        backs = {}
        for dark in (False, True):
            for width in (390, 1280):
                counts, size = self.assert_shown(page, width=width, height=1500, dark=dark)
                self.assertEqual(size, (width, 1500))
                self.assertGreater(len(counts), 60, "a page with charts has more than a few colours")
                backs.setdefault(dark, set()).add(counts.most_common(1)[0][0])
                light = {bytes.fromhex("0072b2"), bytes.fromhex("d55e00")}
                self.assertEqual(not light - counts.keys(), not dark)
        self.assertLess(max(backs[True].pop()), 60)
        self.assertGreater(min(backs[False].pop()), 200)

    def test_nothing_is_wider_than_the_window_and_no_label_leaves_its_chart(self):
        self.write_run("one", 120)
        self.write_run("two", 77, experts=40, ranks=17, seed=9)
        for runs in (["one"], ["two"], ["one", "two"]):
            page = self.report(*runs)
            for width in (390, 1280):
                told = self.told_by(page, width)
                self.assertEqual(told["window"], width)
                self.assertLessEqual(told["wide"], width, runs)
                self.assertEqual(told["outside"], [], (runs, width))

    def test_pointing_at_a_chart_shows_the_values_that_were_written(self):
        self.write_run("run", 100)
        page = self.report("run")
        told = self.told_by(page, 1280)
        tips = "\n".join(told["tips"])
        self.assertTrue(told["hidden"])
        self.assertNotRegex(tips, "NaN|undefined|Infinity")
        speed = next(tip for tip in told["tips"] if "tokens/s " in tip)
        step = int(float(re.match(r"step ([\d.]+)", speed).group(1)) + 0.5)
        line = json.loads((self.folder / "run/metrics.jsonl").read_text().splitlines()[step - 1 + (step - 1) // 30])
        self.assertEqual(line["step"], step)
        self.assertAlmostEqual(float(re.search(r"tokens/s ([\d.]+)M", speed).group(1)) * 1e6,
                               line["tokens_per_second"], delta=0.01 * line["tokens_per_second"])
        phases = next(tip for tip in told["tips"] if "optimizer" in tip)
        self.assertAlmostEqual(float(re.search(r"optimizer ([\d.]+) ms", phases).group(1)), 10, delta=0.4)

    def test_a_strange_script_does_not_run(self):
        self.write_run("run", 30)
        page = self.report("run")
        text = page.read_text(encoding="utf-8")
        attack = '<script>document.title = "owned"</script><img src="http://nobody.invalid/x" onerror="document.title = \'owned\'">'
        strange = self.write("strange.html", text.replace("<footer>", attack + "<footer>"))
        out, console = self.browse(strange, "--dump-dom")
        self.assertNotIn("<title>owned", out)
        self.assertGreater(len(console), 0, "the policy says what it has refused")
        self.assertEqual(self.door.asked, [])
        # Without the policy the same page does both: the test would see it.
        bare = self.write("bare.html", re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", strange.read_text()))
        out, _ = self.browse(bare, "--dump-dom")
        self.assertIn("<title>owned", out)
        self.assertNotEqual(self.door.asked, [])


if __name__ == "__main__":
    if BROWSER is None:
        print("no Chromium is installed: skipped")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
