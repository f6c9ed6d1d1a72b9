"""The whole program on a GPU beside the same on the CPU.

HETMOE_ON_GPU names the program that has a GPU: by default build/hetmoe_emulated, whose GPU a CPU plays
(tests/emulation); tests/run.sh --gpu takes the one for real GPUs, and lets ranks share it.
"""

import json
import os
import pathlib
import subprocess
import unittest

from command_line import HETMOE, CommandLineCase, mpirun

PROGRAM = pathlib.Path(os.environ.get("HETMOE_ON_GPU", HETMOE.parent / "hetmoe_emulated"))
IS_EMULATED = PROGRAM.name == "hetmoe_emulated"
ON_GPU = ["--set", "parallel.device=cuda"]
ON_CPU = ["--set", "parallel.device=cpu"]
# Sums are taken in another order than on the CPU.
TOLERANCE = 1e-5

# Few sizes: what plays the GPU takes its time.
ONE_WIDTH = """\
model: {vocab_size: 64, hidden_size: 32, num_layers: 2, num_heads: 2, num_kv_heads: 2,
        experts: {widths: [32, 32, 32, 32]}}
data: {train: random}
train: {global_batch: 2, sequence_length: 8, precision: fp32}
evaluate: {every_steps: 0}
parallel: {threads: 1}
"""


class OnGpu(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.environment["NCCL_MULTI_RANK_GPU_ENABLE"] = "1"

    def run_program(self, program, *arguments, ranks=1, code=0):
        command = [str(program), *arguments]
        done = subprocess.run(mpirun(ranks, *command) if ranks > 1 else command, cwd=self.folder, env=self.environment,
                              text=True, timeout=240, capture_output=True, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def train(self, program, run, *settings, ranks=1):
        return self.run_program(program, "train", "small.yaml", "--run-dir", run, *settings, ranks=ranks)

    def train_on_cpu(self, run, *settings):
        return self.train(HETMOE, run, *ON_CPU, *settings)

    def train_on_gpu(self, run, *settings, ranks=1):
        return self.train(PROGRAM, run, *ON_GPU, *settings, ranks=ranks)

    def metrics(self, run):
        lines = (self.folder / run / "metrics.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if "loss" in line]

    def assert_same_training(self, run, expected_run, tolerance=TOLERANCE):
        got, expected = self.metrics(run), self.metrics(expected_run)
        self.assertEqual([line["step"] for line in got], [line["step"] for line in expected])
        for line, reference in zip(got, expected):
            values = [line["loss"], line["grad_norm"], *line["aux"].values()]
            references = [reference["loss"], reference["grad_norm"], *reference["aux"].values()]
            for value, wanted in zip(values, references):
                self.assertLess(abs(value - wanted), tolerance * (1 + abs(wanted)), (line, reference))
            self.assertEqual(line["flops_max_over_mean"], reference["flops_max_over_mean"])

    def test_training_gives_the_losses_norms_and_balance_of_the_cpu(self):
        self.train_on_cpu("cpu")
        header = self.train_on_gpu("gpu")
        self.assertRegex(header, r"fp32 on (?!cpu)\S")
        self.assert_same_training("gpu", "cpu")

    def test_a_gpu_is_taken_of_its_own_accord_where_there_is_one(self):
        self.assertRegex(self.train(PROGRAM, "gpu"), r"fp32 on (?!cpu)\S")
        self.assertIn("on cpu", self.train(PROGRAM, "cpu", *ON_CPU))

    def test_no_product_in_fp32_is_one_in_tf32(self):
        self.environment["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] = "1"  # LibTorch would take it
        settings = ["--set", "model.initializer_range=0.3"]  # values from which a loss depends
        self.train_on_cpu("cpu", *settings)
        self.train_on_gpu("gpu", *settings)
        self.assert_same_training("gpu", "cpu")

    def bits_of(self, run):
        manifest = json.loads((self.folder / run / "checkpoints/step-00000003/manifest.json").read_text())
        losses = [(line["loss"], line["grad_norm"], line["aux"]) for line in self.metrics(run)]
        return losses, [(file["name"], file["digest"]) for file in manifest["files"]]

    def test_deterministic_runs_have_the_same_bits(self):
        self.environment["HETMOE_EMULATED_SUMS_VARY"] = "1"
        for precision in ("fp32", "bf16"):
            settings = ["--set", f"train.precision={precision}"]
            asked = [*settings, "--set", "train.deterministic=true"]
            for run in ("first", "second"):
                self.train_on_gpu(f"{precision}-{run}", *asked)
            self.assertEqual(self.bits_of(f"{precision}-first"), self.bits_of(f"{precision}-second"))
            if IS_EMULATED:  # whose sums do vary, so that the lines above can fail
                self.train_on_gpu(f"{precision}-free", *settings)
                self.assertNotEqual(self.bits_of(f"{precision}-first"), self.bits_of(f"{precision}-free"))

    def test_bf16_top_p_and_several_microbatches(self):
        settings = ["--set", "model.router.kind=top_p", "--set", "train.precision=bf16",
                    "--set", "train.microbatches=2", "--set", "model.router.entropy=0.03"]
        self.train_on_cpu("cpu", *settings)
        self.train_on_gpu("gpu", *settings)
        self.assert_same_training("gpu", "cpu", tolerance=2e-2)

    def test_a_run_goes_on_from_the_cpu_to_a_gpu_and_back(self):
        longer = [["--set", f"train.steps={steps}"] for steps in (6, 4, 2)]
        self.train_on_cpu("straight", *longer[0])
        self.train_on_cpu("moving", *longer[2])
        self.train_on_gpu("moving", *longer[1])
        self.train_on_cpu("moving", *longer[0])
        self.assert_same_training("moving", "straight")
        verified = self.run_program(HETMOE, "checkpoint", "verify", "moving")
        self.assertIn("step-00000006", verified)

    def test_two_ranks_with_a_gpu_each_rebalance_and_give_the_losses_of_one_cpu(self):
        settings = ["--set", "train.steps=4", "--set", "placement.every=2"]
        self.train_on_cpu("cpu", *settings)
        self.train_on_gpu("gpu", *settings, ranks=2)
        got, expected = self.metrics("gpu"), self.metrics("cpu")
        for line, reference in zip(got, expected, strict=True):
            for key in ("loss", "grad_norm"):
                self.assertLess(abs(line[key] - reference[key]), TOLERANCE * (1 + reference[key]))
        self.assertGreater(got[-1]["bytes_all_to_all"], 0)

    def test_hypermoe_trains_on_a_gpu(self):
        settings = ["--set", "model.hyper.enabled=true", "--set", "model.hyper.rank=8", "--set", "model.hyper.hidden=8"]
        self.train_on_cpu("cpu", *settings)
        self.train_on_gpu("gpu", *settings)
        self.assert_same_training("gpu", "cpu")

    @unittest.skipUnless(IS_EMULATED, "only there memory can be made scarce")
    def test_a_gpu_without_room_is_refused_before_training(self):
        self.environment["HETMOE_EMULATED_MEMORY"] = str(700 << 20)
        code, _, err = self.run_command(*mpirun(2, str(PROGRAM), "train", "small.yaml", "--run-dir", "run", *ON_GPU,
                                                "--set", "model.vocab_size=400000"))
        self.assertEqual(code, 2, err)
        lines = [line for line in err.splitlines() if line.startswith("hetmoe: ")]
        self.assertEqual(len(lines), 1, err)
        self.assertRegex(lines[0], r"GPU emulated device \(GPU-[0-9a-f-]+\) has 0.6 GiB of 0.7 GiB free, but its rank needs "
                                   r"0.\d GiB for parameters.* lower train.global_batch")

    def test_a_profile_of_a_gpu_is_not_ours(self):
        code, _, err = self.run_command(str(PROGRAM), "train", "small.yaml", "--run-dir", "run", *ON_GPU, "--profile", "2")
        self.assertEqual(code, 2, err)
        self.assertIn("--profile tells what a CPU does", err)

    @unittest.skipUnless(IS_EMULATED, "only there memory can be made scarce")
    def test_a_step_that_finds_no_memory_ends_all_ranks_with_one_line(self):
        scarce = ["env", "HETMOE_EMULATED_LARGEST=" + str(33 << 20)]
        train = [str(PROGRAM), "train", "small.yaml", "--run-dir", "run", *ON_GPU, "--set", "model.vocab_size=70000",
                 "--set", "train.sequence_length=64"]
        code, _, err = self.run_command(*mpirun(1, *train), ":", "-np", "1", *scarce, *train)
        self.assertEqual(code, 2, err)
        lines = [line for line in err.splitlines() if line.startswith("hetmoe: ")]
        self.assertEqual(len(lines), 1, err)
        self.assertRegex(lines[0], r"rank 1: step 1, forward pass of microbatch 1 of 1 \(forward\): out of memory on the GPU: "
                                   r"\d.* MiB were asked for, .* of 4.00 GiB are free.*"
                                   r"raise train.microbatches")

    def test_what_was_held_of_the_gpu_is_told(self):
        header = self.train_on_gpu("gpu")
        self.assertIn("peak GPU memory", header)
        self.train_on_cpu("cpu")
        for run, holds in (("gpu", True), ("cpu", False)):
            for line in self.metrics(run):
                self.assertEqual(line["device_memory_bytes"] > 1 << 20, holds, line)

    def test_what_is_calibrated_on_gpus_serves_plan_and_simulate(self):
        self.write("one_width.yaml", ONE_WIDTH)
        for ranks in (1, 2):
            cluster = json.loads(self.run_program(PROGRAM, "calibrate", "one_width.yaml", "--seconds", "0.01", "--json",
                                                  "--out", f"cluster-{ranks}.yaml", *ON_GPU, ranks=ranks))
            memory = cluster["memory"]["bytes"]
            if IS_EMULATED:
                self.assertEqual((cluster["name"], memory), ("emulated device, fp32", 4 << 30))
            self.assertEqual(cluster["links"]["ranks_per_node"], ranks)
            self.assertIn(f"{ranks} rank", cluster["source"])
            for speed in (cluster["links"]["same_node"], cluster["links"]["other_node"]):
                self.assertGreater(speed["latency_seconds"], 0)
                self.assertGreater(speed["bytes_per_second"], 0)
            self.assertGreater(min(cluster["expert_products"]["backward_seconds"]), 0)
            planned = self.run_program(HETMOE, "plan", "one_width.yaml", "--ranks", "2", "--cluster",
                                       f"cluster-{ranks}.yaml")
            self.assertIn("this plan", planned)
            simulated = self.run_program(HETMOE, "simulate", "one_width.yaml", "--ranks", "2", "--cluster",
                                         f"cluster-{ranks}.yaml", "--json")
            self.assertEqual(json.loads(simulated)["cluster_memory_bytes"], memory)

    def test_the_loss_of_a_checkpoint_is_that_of_the_cpu(self):
        self.train_on_cpu("run")
        tokens = [list(range(3, 19)), [7, 7, 1]]
        asked = ["evaluate", "run", "--tokens", json.dumps(tokens), "--json"]
        here = json.loads(self.run_program(HETMOE, *asked, *ON_CPU))
        there = json.loads(self.run_program(PROGRAM, *asked, *ON_GPU))
        self.assertEqual(there["tokens"], here["tokens"])
        self.assertLess(abs(there["loss"] - here["loss"]), TOLERANCE * here["loss"])


if __name__ == "__main__":
    unittest.main()
