"""What is to be measured on a GPU runs on the emulated device, and its lines have what README.md promises."""

import argparse
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import host_waits
import on_gpu

BUILD = pathlib.Path(os.environ.get("HETMOE_BUILD", on_gpu.PROJECT / "build"))
PEER = on_gpu.PROJECT / ".deps" / "peers" / "bin" / "python"
TIMED = {"median_seconds", "lowest_seconds", "highest_seconds", "flops_per_second", "share_of_square"}
PARTS = ("forward", "backward", "forward_and_backward")


class Lines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        command = [sys.executable, "-B", str(on_gpu.__file__), "--tiny", "--build", str(BUILD)]
        command += ["--peer", str(PEER)] if PEER.exists() else []
        cls.done = subprocess.run(command, capture_output=True, text=True, timeout=280)
        cls.lines = [json.loads(line) for line in cls.done.stdout.splitlines()]

    def lines_of(self, case):
        found = [line for line in self.lines if line["case"] == case]
        self.assertTrue(found, f"no line of {case}: {self.done.stdout}{self.done.stderr}")
        return found

    def test_no_case_fails(self):
        self.assertEqual([line for line in self.lines if "error" in line], [])
        self.assertEqual(self.done.returncode, 0, self.done.stderr)

    def test_the_layer_is_set_beside_dense_products_of_as_many_flops(self):
        layers, alike = self.lines_of("gpu mixture layer"), self.lines_of("gpu dense products")
        self.assertEqual([line["product_table"] for line in layers], [False, True])
        for layer, dense in zip(layers, alike, strict=True):
            self.check_layer(layer, dense)
        for square in self.lines_of("gpu square product"):
            self.assertAlmostEqual(square["forward"]["share_of_square"], 1, places=6)

    def check_layer(self, layer, dense):
        self.assertEqual(layer["device"], "emulated device")
        self.assertEqual(sum(layer["selected"]), 2 * layer["tokens"])
        for part in PARTS:
            self.assertEqual(set(layer[part]), TIMED | {"share_of_dense"})
            self.assertEqual(set(dense[part]), TIMED)
            work = [one[part]["flops_per_second"] * one[part]["median_seconds"] for one in (layer, dense)]
            self.assertAlmostEqual(work[0] / work[1], 1, delta=0.25)  # the router, and widths rounded to eights
            self.assertAlmostEqual(layer[part]["share_of_dense"],
                                   layer[part]["flops_per_second"] / dense[part]["flops_per_second"], places=6)

    def test_ways_of_products_are_measured_before_what_takes_them(self):
        ways = {line["way"] for line in self.lines_of("products")}
        self.assertEqual(ways, {"streams", "batched", "cutlass"})
        self.assertEqual(self.lines[0]["case"], "products")

    def test_a_step_waits_as_often_as_promised(self):
        lines = self.lines_of("gpu host waits")
        self.assertEqual([line["ranks"] for line in lines], [1, 2])
        for line in lines:
            self.assertEqual(line["promised_waits"], host_waits.LAYERS * host_waits.MICROBATCHES + 1)
            self.assertEqual(host_waits.faults(line), [])

    def test_two_ranks_exchange_and_add(self):
        for case in ("gpu all to all", "gpu sum in rank order"):
            line, = self.lines_of(case)
            self.assertEqual(line["ranks"], 2)
            self.assertAlmostEqual(line["bytes_per_second"] * line["median_seconds"], line["bytes_sent_by_a_rank"],
                                   delta=1)

    def test_training_takes_the_batch_that_is_fastest_of_those_that_fit(self):
        lines = self.lines_of("gpu end to end")
        self.assertEqual([(line["config"], line["product_table"]) for line in lines],
                         [(name, table) for name in ("hmoe_0.4b_top_k", "hmoe_3b_top_k") for table in (False, True)])
        for line in lines:
            self.assertEqual([one["sequences"] for one in line["tried"]], [1, 2])
            self.assertEqual(line["tokens_per_second"], max(one["tokens_per_second"] for one in line["tried"]))
            self.assertGreater(line["share_of_square"], 0)
            self.assertIsNone(line["mfu"], "an emulated device has no data sheet")

    @unittest.skipUnless(PEER.exists(), "tests/peers/setup.sh has not been run")
    def test_the_peer_is_beside_it(self):
        peer, = self.lines_of("gpu transformers padded mixture")
        lines = self.lines_of("gpu mixture over transformers padded")
        self.assertEqual([(line["product_table"], line["part"]) for line in lines],
                         [(table, part) for table in (False, True) for part in PARTS])
        for line in lines:
            self.assertEqual(set(peer[line["part"]]), TIMED)
            self.assertGreater(line["times_as_fast"], 0)


# Stands for each program: tells where it was started, and trains twice as fast with a table.
PROGRAM = """#!/usr/bin/env python3
import json, os, pathlib, sys
words = sys.argv[1:]
if "--write" in words:
    pathlib.Path(words[words.index("--write") + 1]).write_text("[]")
    print(json.dumps({"case": "products", "folder": os.getcwd()}))
else:
    table = next(word.partition("=")[2] for word in words if word.startswith("parallel.product_table="))
    folder = pathlib.Path(words[words.index("--run-dir") + 1])
    folder.mkdir()
    line = {"step_seconds": 1, "model_flops_per_second": 1, "tokens_per_second": 2 if pathlib.Path(table).exists() else 1}
    (folder / "metrics.jsonl").write_text(9 * (json.dumps(line) + "\\n"))
"""


class ProductTable(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        build = pathlib.Path(folder.name) / "build"
        build.mkdir()
        for name in ("hetmoe", "hetmoe_product_bench"):
            (build / name).write_text(PROGRAM)
            (build / name).chmod(0o755)
        self.bench = on_gpu.Bench(argparse.Namespace(tiny=False, rounds=1, build=build, peer=None),
                                  pathlib.Path(folder.name))

    def test_is_measured_in_the_folder_that_models_are_named_from(self):
        self.assertEqual(self.bench.products(), [{"case": "products", "folder": str(on_gpu.PROJECT)}])
        self.assertTrue(self.bench.table.exists())

    def test_is_what_runs_take_that_are_measured_with_it(self):
        self.bench.products()
        for with_table, rate in ((False, 1), (True, 2)):
            line, = self.bench.end_to_end("hmoe_3b_top_k", with_table)
            self.assertEqual((line["product_table"], line["tokens_per_second"]), (with_table, rate))

    def test_is_missed_where_it_was_not_measured(self):
        for body in (lambda: self.bench.layer(True), lambda: list(self.bench.end_to_end("hmoe_3b_top_k", True))):
            with self.assertRaisesRegex(RuntimeError, "no table of products was measured"):
                body()


class WithoutGpu(unittest.TestCase):
    def test_suite_and_benchmark_fail_with_one_line_where_no_gpu_is_to_be_seen(self):
        with tempfile.TemporaryDirectory() as folder:
            tool = pathlib.Path(folder) / "nvidia-smi"
            for says, code in (("No devices were found", 0), ("couldn't communicate with the driver", 9)):
                tool.write_text(f'#!/bin/sh\necho "{says}"\nexit {code}\n')
                tool.chmod(0o755)
                environment = dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}")
                for script in ("tests/run.sh", "tests/bench/run.sh"):
                    done = subprocess.run([on_gpu.PROJECT / script, "--gpu"], env=environment, capture_output=True,
                                          text=True, timeout=60)
                    self.assertEqual((done.returncode, done.stdout), (1, ""), script)
                    self.assertEqual(done.stderr, f'no GPU here: nvidia-smi says "{says}"\n')


class Judgement(unittest.TestCase):
    def tried(self, fits, first, most):
        def run(count):
            if count > fits:
                raise on_gpu.OutOfMemory("out of memory")
            return count

        return [(count, result == count) for count, result in on_gpu.largest_that_fits(run, first, most)]

    def test_counts_are_doubled_until_memory_is_short_or_enough_is_tried(self):
        self.assertEqual(self.tried(20, 8, 64), [(8, True), (16, True), (32, False)])
        self.assertEqual(self.tried(100, 8, 32), [(8, True), (16, True), (32, True)])

    def test_counts_are_halved_where_the_first_does_not_fit(self):
        self.assertEqual(self.tried(2, 8, 64), [(8, False), (4, False), (2, True)])
        self.assertEqual(self.tried(0, 2, 64), [(2, False), (1, False)])

    def test_a_device_that_is_full_is_told_from_a_run_that_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            absent = pathlib.Path(folder) / "metrics.jsonl"
            for reason, error in (("hetmoe: out of memory: use more ranks", on_gpu.OutOfMemory),
                                  ("hetmoe: the model needs 90.0 GiB for the parameters", on_gpu.OutOfMemory),
                                  ("hetmoe: cannot open 'x'", RuntimeError)):
                command = [sys.executable, "-c", f"import sys; sys.exit({reason!r})"]
                with self.assertRaises(error) as caught:
                    on_gpu.steps_of(command, absent, 1)
                self.assertIs(type(caught.exception), error)

    def test_waits_copies_and_allocations_that_nobody_promised_are_faults(self):
        line = {"waits": 7.0, "promised_waits": 7, "pageable_copies": 0.0, "allocations": 0.0}
        self.assertEqual(host_waits.faults(line), [])
        for key in ("waits", "pageable_copies", "allocations"):
            fault, = host_waits.faults({**line, key: 7.25})
            self.assertIn("7.25", fault)
        for several in (-0.25, 0.25):
            self.assertEqual(host_waits.faults({**line, "allocations": several}), [], "pinned blocks in flight differ")
            for key, counted in (("waits", 7 + several), ("pageable_copies", several)):
                self.assertEqual(len(host_waits.faults({**line, key: counted})), 1)
        for several in (-1.0, 0.5, 1.0):
            self.assertEqual(len(host_waits.faults({**line, "allocations": several})), 1)

    def test_a_run_that_hangs_is_ended(self):
        with tempfile.TemporaryDirectory() as folder:
            metrics = pathlib.Path(folder) / "metrics.jsonl"
            metrics.write_text("{}\n")
            command = [sys.executable, "-c", "import time; time.sleep(60)"]
            begin = time.monotonic()
            with self.assertRaisesRegex(RuntimeError, "1 of 2 steps after 0.5 s"):
                on_gpu.steps_of(command, metrics, 2, longest_seconds=0.5)
            self.assertLess(time.monotonic() - begin, 30)

    def test_a_line_that_is_not_as_promised_ends_its_own_case_alone(self):
        def lacking():
            return [{}["step_seconds"]]

        def broken():
            return on_gpu.lines_of([sys.executable, "-c", "print('{broken')"])

        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as out:
            bench = on_gpu.Bench(argparse.Namespace(tiny=True, rounds=1, build=pathlib.Path(folder), peer=None),
                                 pathlib.Path(folder))
            for case, body in (("lacking", lacking), ("broken", broken), ("other", lambda: [{"case": "other"}])):
                bench.attempt(case, body)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        self.assertEqual([line["case"] for line in lines], ["lacking", "broken", "other"])
        self.assertEqual(lines[0]["error"], "no 'step_seconds'")
        self.assertIn("Expecting property name", lines[1]["error"])
        self.assertTrue(bench.failed)

    def test_peaks_are_found_by_the_name_that_the_driver_gives(self):
        for name, rate in (("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA H200", 989e12),
                           ("NVIDIA A100-SXM4-80GB", 312e12), ("emulated device", None)):
            self.assertEqual(on_gpu.nominal_flops_per_second(name), rate)

    def test_a_case_that_fails_is_a_line_and_the_exit_code(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as out:
            arguments = argparse.Namespace(tiny=True, rounds=1, build=pathlib.Path(folder), peer=None)
            code = on_gpu.Bench(arguments, pathlib.Path(folder)).all()
        self.assertEqual(code, 1)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        self.assertTrue(all("error" in line for line in lines), lines)


if __name__ == "__main__":
    unittest.main()
