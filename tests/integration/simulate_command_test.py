"""`hetmoe simulate`: a configuration and a cluster file in, a predicted step out."""

import json
import re
import unittest
import xml.etree.ElementTree

from command_line import HETMOE, CommandLineCase

SVG = "{http://www.w3.org/2000/svg}"

HIDDEN_SIZES, ROWS, WIDTHS = (16, 64), (1, 64, 4096), (4, 64)


def products(seconds):
    return "[" + ", ".join(f"{seconds * h * r * w:.6e}" for h in HIDDEN_SIZES for r in ROWS for w in WIDTHS) + "]"


def curve(size):
    return f"{{sizes: [{size}], forward_flops_per_second: [1.0e+9], backward_flops_per_second: [1.0e+9]}}"


# A row takes 1 ns per hidden feature and hidden unit, forward, and twice that backward.
CLUSTER = f"""\
name: round numbers
source: made up for this test
precision: fp32
threads: 1
peak_flops_per_second: 1.0e+10
memory: {{bytes: 1.0e+9, bytes_per_second: 1.0e+10, optimizer_bytes_per_second: 1.0e+10}}
expert_products:
  hidden_sizes: {list(HIDDEN_SIZES)}
  rows: {list(ROWS)}
  widths: {list(WIDTHS)}
  forward_seconds: {products(1e-9)}
  backward_seconds: {products(2e-9)}
dense_products: {curve(32)}
attention: {curve(16)}
output_head: {curve(32)}
layer: {{seconds: 0, seconds_per_value: 0}}
links:
  ranks_per_node: 2
  same_node: {{latency_seconds: 1.0e-6, bytes_per_second: 1.0e+9}}
  other_node: {{latency_seconds: 1.0e-5, bytes_per_second: 1.0e+8}}
"""

# The small configuration: 4 experts of 18 to 46 hidden units, 32 in the mean, two per token; two
# layers, 4 sequences of 16 tokens, hidden size 32.
PARTS = ["dense", "expert", "dispatch", "combine", "gradients", "optimizer", "parameters"]


class Simulate(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.write("cluster.yaml", CLUSTER)

    def simulate(self, *arguments):
        return self.run_command(HETMOE, "simulate", "small.yaml", "--cluster", "cluster.yaml", *arguments)

    def document(self, *arguments):
        code, out, err = self.simulate(*arguments, "--json")
        self.assertEqual(code, 0, err)
        self.assertEqual(len(out.splitlines()), 1)
        return json.loads(out)

    def test_one_rank_does_all_the_work(self):
        found = self.document("--ranks", "1", "--workload", "W0")
        last = found["placements"][-1]
        # 64 tokens, 2 layers, 2 experts of 32 units in the mean, forward 1 ns and backward 2 ns.
        self.assertAlmostEqual(last["parts_seconds"]["expert"], 64 * 2 * 2 * 32 * 32 * 3e-9, delta=1e-9)
        # 4 D x D projections, half of the scores, the head: three times 2 m n k. The router's product is
        # in the model's FLOPs; its time is part of the layer's, here none.
        layer = 2 * 32 * 4 * 32 + 4 * 8.5 * 32
        timed = 3 * 64 * (2 * layer + 2 * 32 * 256)
        flops = timed + 3 * 64 * 2 * 2 * 32 * 4
        embedding = 64 * 32 * 20 / 1e10
        self.assertAlmostEqual(last["parts_seconds"]["dense"], timed / 1e9 + embedding, delta=1e-9)
        self.assertEqual([last["parts_seconds"][part] for part in ("dispatch", "combine", "gradients")], [0, 0, 0])
        self.assertAlmostEqual(last["model_flops"], flops + 3 * 64 * 2 * 2 * 6 * 32 * 32, delta=1)
        self.assertAlmostEqual(
            last["model_flops_utilization"], last["model_flops"] / last["step_seconds"] / 1e10, places=9)
        self.assertAlmostEqual(last["tokens_per_second"], 64 / last["step_seconds"], places=3)

    def test_parts_sum_to_the_step_and_ranks_wait_for_the_slowest(self):
        for ranks, group in ((2, 2), (3, 3), (4, 2), (6, 1)):
            found = self.document("--ranks", ranks, "--workload", "W3", "--expert-group-size", group,
                                  "--sequences-per-rank", 2)
            self.assertEqual(found["tokens_per_step"], ranks * 2 * 16)
            self.assertEqual([p["name"] for p in found["placements"]], ["contiguous", "slices, even load", "slices"])
            for placement in found["placements"]:
                self.assertEqual(list(placement["parts_seconds"]), PARTS)
                step = placement["step_seconds"]
                self.assertAlmostEqual(sum(placement["parts_seconds"].values()), step, delta=1e-12)
                seconds = placement["ranks"]["seconds"]
                for rank in range(ranks):
                    self.assertAlmostEqual(sum(values[rank] for values in seconds.values()), step, delta=1e-12)
                self.assertGreaterEqual(min(seconds["waiting"]), -1e-12)
                memory = placement["ranks"]["memory_bytes"]
                self.assertAlmostEqual(placement["memory_bytes"]["largest"],
                                       max(map(sum, zip(*memory.values()))), delta=1)

    def test_the_same_call_says_the_same(self):
        arguments = ("--ranks", "3", "--workload", "W1", "--seed", "7", "--json")
        self.assertEqual(self.simulate(*arguments), self.simulate(*arguments))

    def test_the_table_and_the_picture(self):
        code, out, err = self.simulate("--ranks", "4", "--workload", "W3", "--svg", "step.svg")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("small, W3, on 4 ranks of round numbers", out)
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        root = xml.etree.ElementTree.parse(self.folder / "step.svg").getroot()
        self.assertEqual(root.tag, f"{SVG}svg")
        bars = [group for group in root.iter(f"{SVG}g") if group.get("class") == "bar"]
        self.assertEqual(len(bars), 2 * 4)
        self.assertTrue(all(bar.find(f"{SVG}title").text.startswith("rank ") for bar in bars))

    def test_sixteen_thousand_ranks(self):
        found = self.document("--ranks", "16384", "--workload", "W4", "--expert-group-size", "4",
                              "--sequences-per-rank", "2", "--svg", "step.svg")
        self.assertEqual(found["ranks"], 16384)
        self.assertEqual(len(found["placements"][0]["ranks"]["seconds"]["waiting"]), 16384)
        root = xml.etree.ElementTree.parse(self.folder / "step.svg").getroot()
        self.assertEqual(sum(group.get("class") == "bar" for group in root.iter(f"{SVG}g")), 2 * 128)

    def test_all_workloads_give_a_line_each(self):
        arguments = ("--ranks", "2", "--workload", "all", "--width-ratios", "1,9")
        found = self.document(*arguments)
        self.assertEqual([case["workload"] for case in found["cases"]], [f"W{i}" for i in range(8)] * 2)
        for case in found["cases"]:
            self.assertGreaterEqual(case["planned_seconds"], case["even_seconds"] * (1 - 1e-9))
        self.assertEqual(found["cases"][0]["width_ratio"], 1)
        self.assertGreater(found["cases"][8]["width_ratio"], 5)
        code, out, err = self.simulate(*arguments)
        self.assertEqual((code, err, len(out.splitlines())), (0, "", 17))

    def test_one_workload_is_the_line_of_the_comparison(self):
        alone = self.document("--ranks", "3", "--workload", "W2")["placements"]
        line = self.document("--ranks", "3", "--workload", "W2", "--width-ratios", "2.56")["cases"][0]
        self.assertAlmostEqual(line["contiguous_seconds"], alone[0]["step_seconds"], delta=1e-12)
        self.assertAlmostEqual(line["planned_seconds"], alone[-1]["step_seconds"], delta=1e-12)

    def test_the_forced_workload_is_the_default(self):
        self.assertEqual(self.document("--ranks", "2")["workload"], "W0")
        forced = self.document("--ranks", "2", "--set", "model.router.forced=W3")
        self.assertEqual(forced, self.document("--ranks", "2", "--set", "model.router.forced=W3", "--workload", "W3"))
        self.assertEqual(forced["workload"], "W3")

    def test_a_burst_is_always_among_the_steps_of_w7(self):
        layer = ("--ranks", "2", "--set", "model.num_layers=1")
        for seed in range(1, 9):
            even, bursts = (self.document(*layer, "--seed", seed, "--workload", kind)["placements"][0]["ranks"]
                            ["seconds"]["expert"] for kind in ("W0", "W7"))
            # Wherever the hot expert is, its rank's load changes by a sixth, in one of eight steps.
            self.assertGreater(max(abs(b / e - 1) for b, e in zip(bursts, even, strict=True)), 0.01, seed)

    def test_a_single_expert_has_no_bursts(self):
        one = ("--ranks", "1", "--set", "model.experts.count=1", "--set", "model.router.top_k=1")
        even, bursts = (self.document(*one, "--workload", kind)["placements"][0] for kind in ("W0", "W7"))
        self.assertAlmostEqual(bursts["step_seconds"], even["step_seconds"], delta=1e-12)

    def test_replicas_are_not_simulated_and_that_is_said(self):
        code, out, err = self.simulate("--ranks", "2", "--set", "placement.replicas=8")
        self.assertEqual(code, 0)
        self.assertIn("warning: placement.replicas 8 is simulated as 0", err)
        self.assertEqual(out, self.simulate("--ranks", "2")[1])

    def test_a_picture_that_cannot_be_written_is_refused_before_all_else(self):
        for path in ("missing/step.svg", "."):
            code, out, err = self.simulate("--ranks", "5", "--svg", path)  # five ranks would be warned about
            self.assertEqual((code, out), (3, ""))
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertIn(f"cannot write '{path}'", err)

    def test_one_rank_of_a_node_is_no_plural(self):
        _, out, _ = self.simulate("--ranks", "2", "--ranks-per-node", "1")
        self.assertIn(", 1 rank per node", out)
        self.assertIn("on 1 rank of round numbers", self.simulate("--ranks", "1")[1])

    def test_idle_ranks_and_thin_slices_are_warned_about(self):
        code, out, err = self.simulate("--ranks", "5", "--workload", "W0")
        self.assertEqual(code, 0)
        lines = err.splitlines()
        self.assertEqual(len(lines), 2)
        self.assertIn("warning: 4 sequences in a microbatch leave 1 of 5 ranks without tokens", lines[0])
        self.assertIn("5 ranks share the 128 hidden units", lines[1])

    def test_bad_options_are_refused_in_one_line(self):
        bad = [
            (("--ranks", "6", "--expert-group-size", "4"), "parallel.expert_group_size: value 4, allowed: 0 or a divisor of the 6 ranks"),
            (("--ranks", "0"), "16384"),
            (("--ranks", "16385"), "16384"),
            (("--ranks", "2", "--workload", "W9"), "--workload: W9 not in {W0,W1,W2,W3,W4,W5,W6,W7,all}"),
            (("--ranks", "2", "--strategy", "best"), "--strategy: best not in {slices,whole,eplb,contiguous}"),
            (("--ranks", "2", "--strategy", "plan.json"), "plan.json"),
            (("--ranks", "2", "--set", "train.stepz=1"), "train.stepz"),
            (("--ranks", "2", "--workload", "all", "--svg", "a.svg"), "--svg a.svg"),
            (("--ranks", "2", "--width-ratios", "0.5"), "0.5"),
            (("--ranks", "2", "--width-ratios", "9", "--set", "model.experts.widths=[8, 8, 8, 8]"),
             "--width-ratios 9, allowed: without model.experts.widths"),
            (("--ranks", "2", "--sequences-per-rank", "0"), "--sequences-per-rank"),
        ]
        for arguments, part in bad:
            code, out, err = self.simulate(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertTrue(err.startswith("hetmoe: "), err)
            self.assertIn(part, err)
        self.write("cluster.yaml", re.sub("peak_flops_per_second: .*", "peak_flops_per_second: -1", CLUSTER))
        code, out, err = self.simulate("--ranks", "2")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("peak_flops_per_second", err)


if __name__ == "__main__":
    unittest.main()
