"""The measurement of grouped products on a GPU that a CPU plays, and a run that takes its table."""

import json
import math
import os
import subprocess
import unittest

from command_line import CommandLineCase

BENCH = os.environ["HETMOE_PRODUCT_BENCH"]
EMULATED = os.environ["HETMOE_EMULATED"]
# As small.yaml, with widths that the kernels of CUTLASS take.
CONFIG = """
model:
  hidden_size: 32
  num_heads: 2
  num_kv_heads: 2
  experts: {widths: [8, 16, 24, 32]}
data: {train: random}
evaluate: {every_steps: 0}
"""
MODEL = ["--set", "model.experts.widths=[8,16,24,32]", "--set", "train.precision=bf16"]


class ProductBench(CommandLineCase):
    def run_here(self, *command, code=0):
        done = subprocess.run([str(part) for part in command], cwd=self.folder, env=self.environment, text=True,
                              timeout=100, capture_output=True, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def measure(self, *options, before=()):
        self.write("model.yaml", CONFIG)
        out = self.run_here(*before, BENCH, "model.yaml", "--rounds", "3", "--repeats", "2", "--write", "table.yaml", *options)
        return [json.loads(line) for line in out.splitlines()]

    def test_every_way_of_every_call_is_right_and_timed_beside_a_dense_product(self):
        lines = self.measure("--tokens", "8,33", "--held", "4,3")
        # cuBLAS's grouped call does not take what goes from bf16 to fp32: two calls of six.
        self.assertEqual(len(lines), 2 * 2 * (6 * 3 - 2))
        for line in lines:
            self.assertEqual(line["case"], "products")
            self.assertEqual((line["device"], line["capability"]), ("emulated device", "9.0"))
            self.assertTrue(line["is_right"], line)
            self.assertLess(line["relative_difference"], 1e-2)
            for key in ("median_seconds", "tflops_per_second", "dense_tflops_per_second", "share_of_dense"):
                self.assertGreater(line[key], 0)
            self.assertTrue(math.isclose(line["share_of_dense"], line["tflops_per_second"] / line["dense_tflops_per_second"]))
        self.assertEqual({(line["way"], line["out"]) for line in lines},
                         {("streams", "bf16"), ("batched", "bf16"), ("cutlass", "bf16"), ("streams", "fp32"),
                          ("cutlass", "fp32")})
        self.assertEqual({line["reserve"] for line in lines}, {0})
        self.assertEqual({(line["form"], line["out"], line["adds"]) for line in lines},
                         {("abt", "bf16", False), ("ab", "bf16", False), ("atb", "fp32", True)})

    def test_the_table_has_the_fastest_way_of_every_class(self):
        lines = self.measure("--tokens", "8,40", "--held", "4")
        keys = ("capability", "form", "in", "out", "adds", "products", "rows", "columns", "depth")
        seconds = {}
        for line in lines:
            ways = seconds.setdefault(tuple(line[key] for key in keys), {})
            ways[line["way"]] = ways.get(line["way"], 0) + line["median_seconds"]
        written = {}
        for line in (self.folder / "table.yaml").read_text().splitlines():
            entry = dict(part.split(": ") for part in line.removeprefix("- {").removesuffix("}").split(", "))
            values = (json.loads(entry[key]) if key not in ("form", "in", "out") else entry[key].strip('"') for key in keys)
            written[tuple(values)] = entry["way"].strip('"')
        self.assertEqual(written, {calls: min(ways, key=ways.get) for calls, ways in seconds.items()})

    def test_ways_that_a_device_has_not_are_neither_timed_nor_written(self):
        for capability in ("8.0", "10.0"):
            lines = self.measure("--tokens", "8", "--held", "4",
                                 before=("env", f"HETMOE_EMULATED_CAPABILITY={capability}"))
            self.assertEqual({line["capability"] for line in lines}, {capability})
            self.assertEqual({(line["way"], line["out"]) for line in lines},
                             {("streams", "bf16"), ("batched", "bf16"), ("streams", "fp32")})
            table = (self.folder / "table.yaml").read_text()
            self.assertNotIn("cutlass", table)
            for entry in table.splitlines():
                self.assertIn("streams" if "fp32" in entry else "way", entry)

    def test_all_ways_leave_multiprocessors_to_others(self):
        lines = self.measure("--tokens", "8", "--held", "4", "--reserve", "2")
        self.assertEqual({line["reserve"] for line in lines}, {2})
        self.assertTrue(all(line["is_right"] for line in lines))
        self.assertIn("--reserve: value 3, allowed: even numbers",
                      self.run_here(BENCH, "model.yaml", "--reserve", "3", code=105))

    def test_training_takes_the_table(self):
        self.measure("--tokens", "16,64", "--held", "4,2")
        table = "parallel.product_table=table.yaml"
        for run, settings in (("plain", []), ("chosen", ["--set", table])):
            self.run_here(EMULATED, "train", "small.yaml", "--run-dir", run, "--set", "parallel.device=cuda", *MODEL,
                          *settings)
        losses = [[line["loss"] for line in map(json.loads, (self.folder / run / "metrics.jsonl").open()) if "loss" in line]
                  for run in ("plain", "chosen")]
        self.assertGreater(len(losses[0]), 1)
        for plain, chosen in zip(*losses, strict=True):
            self.assertLess(abs(plain - chosen), 2e-2 * plain)

    def test_a_table_that_is_wrong_ends_the_run_with_its_line(self):
        self.write("table.yaml", "# mine\n- {way: fastest}\n")
        said = self.run_here(EMULATED, "train", "small.yaml", "--run-dir", "run", *MODEL,
                             "--set", "parallel.product_table=table.yaml", code=2)
        self.assertIn("table.yaml:2: way: value fastest, allowed: streams, batched, cutlass", said)
        said = self.run_here(EMULATED, "train", "small.yaml", "--run-dir", "other", *MODEL,
                             "--set", "parallel.product_table=none.yaml", code=2)
        self.assertIn("none.yaml: cannot be read", said)


if __name__ == "__main__":
    unittest.main()
