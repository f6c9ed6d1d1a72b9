"""The program that is built for GPUs, on a machine that has none, or hides them."""

import subprocess
import unittest

from command_line import HETMOE, CommandLineCase


class WithoutGpu(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.environment["CUDA_VISIBLE_DEVICES"] = ""

    def hetmoe(self, *arguments):
        return subprocess.run([HETMOE, *arguments], cwd=self.folder, env=self.environment, text=True, timeout=120,
                              capture_output=True, check=False)

    def test_it_is_built_for_gpus(self):
        linked = subprocess.run(["ldd", HETMOE], text=True, capture_output=True, check=True).stdout
        for library in ("libtorch_cuda", "libcublas", "libnccl"):
            self.assertIn(library, linked)
        self.assertNotIn("not found", linked)

    def test_it_trains_on_the_cpu_of_its_own_accord(self):
        done = self.hetmoe("train", "small.yaml", "--run-dir", "run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("fp32 on cpu", done.stdout)

    def test_who_asks_for_cuda_is_told_in_one_line_why_not(self):
        done = self.hetmoe("train", "small.yaml", "--run-dir", "run", "--set", "parallel.device=cuda")
        self.assertEqual(done.returncode, 2)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertRegex(lines[0], r"^hetmoe: parallel\.device: 'cuda', but .+ \(allowed here: cpu, auto\)$")
        self.assertNotIn("without CUDA", lines[0])


if __name__ == "__main__":
    unittest.main()
