"""`hetmoe plan`: a problem or a configuration in, a plan that `hetmoe train` takes out."""

import json
import unittest

from command_line import HETMOE, PROJECT, CommandLineCase

CLUSTER = PROJECT / "configs/clusters/h100_8x_400gbps.yaml"

PROBLEM = {
    "hidden_size": 768,
    "ranks": 4,
    "layers": [{
        "widths": [864, 1056, 1248, 1440, 1632, 1824, 2016, 2208],
        "tokens": [9000, 1000, 700, 5000, 1200, 800, 300, 2000],
    }],
}


class Plan(CommandLineCase):
    def plan(self, problem, *arguments):
        self.write("problem.json", json.dumps(problem))
        return self.run_command(HETMOE, "plan", "--problem", "problem.json", *arguments)

    def test_the_figures_follow_from_the_slices(self):
        code, out, err = self.plan(PROBLEM, "--json", "--out", "plan.json")
        self.assertEqual((code, err), (0, ""))
        plan = json.loads(out)
        self.assertEqual(plan, self.read_json("plan.json"))
        layer, widths, tokens = plan["layers"][0], *PROBLEM["layers"][0].values()
        flops, rows, traffic = [0] * 4, [0] * 4, 0
        for piece in layer["slices"]:
            flops[piece["rank"]] += tokens[piece["expert"]] * (piece["end"] - piece["begin"])
            rows[piece["rank"]] += piece["end"] - piece["begin"]
            traffic += tokens[piece["expert"]]
        self.assertEqual(sum(rows), sum(widths))
        self.assertAlmostEqual(layer["flops_max_over_mean"], max(flops) / (sum(flops) / 4))
        self.assertAlmostEqual(layer["traffic_ratio"], traffic / sum(tokens))
        self.assertLessEqual(layer["flops_max_over_mean"], 1.02)
        self.assertLessEqual(plan["memory_max_over_mean"], 1.10)

    def test_the_exact_plan_travels_no_more(self):
        everyday = json.loads(self.plan(PROBLEM, "--json")[1])["layers"][0]["traffic_ratio"]
        exact = json.loads(self.plan(PROBLEM, "--json", "--exact", "--exact-seconds", "5")[1])["layers"][0]
        self.assertLessEqual(exact["traffic_ratio"], everyday + 1e-9)
        self.assertLessEqual(exact["flops_max_over_mean"], 1.02 + 1e-6)

    def test_the_table_compares_the_strategies(self):
        code, out, err = self.plan(PROBLEM)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("bound by: none", out)
        for strategy in ("this plan", "whole", "eplb", "contiguous"):
            self.assertIn(f"\n  {strategy} ", out)

    def test_a_configuration_is_planned_by_its_own_strategy(self):
        def planned(*arguments):
            code, out, err = self.run_command(HETMOE, "plan", "small.yaml", "--ranks", "2", "--json",
                                              "--set", "placement.memory_cap_ratio=4", *arguments)
            self.assertEqual((code, err), (0, ""))
            return out

        contiguous = planned("--strategy", "contiguous")
        self.assertEqual(planned("--set", "placement.strategy=contiguous"), contiguous)
        self.assertEqual(planned("--set", "placement.strategy=contiguous", "--strategy", "slices"), planned())
        self.assertNotEqual(planned(), contiguous)
        code, out, err = self.run_command(HETMOE, "plan", "small.yaml", "--ranks", "2", "--strategy", "best")
        self.assertEqual((code, out, len(err.splitlines())), (2, "", 1))
        self.assertIn("--strategy: best not in {slices,whole,eplb,contiguous}", err)

    def test_too_little_memory_is_named_and_nothing_is_written(self):
        code, out, err = self.plan(dict(PROBLEM, memory_cap_bytes=1e6), "--json", "--out", "plan.json")
        self.assertEqual(code, 2)
        error = json.loads(out)["error"]
        self.assertEqual((error["constraint"], error["available"]), ("memory", 1e6))
        self.assertGreater(error["needed"], 1e6)
        self.assertIn("hetmoe: no placement meets the constraint memory", err)
        self.assertFalse((self.folder / "plan.json").exists())

    def test_a_cluster_file_gives_seconds_and_the_fastest_plan(self):
        seconds, roomy = {}, dict(PROBLEM, memory_cap_ratio=4)
        for strategy in ("slices", "whole", "contiguous"):
            code, out, err = self.plan(roomy, "--json", "--cluster", CLUSTER, "--strategy", strategy)
            self.assertEqual((code, err), (0, ""))
            seconds[strategy] = json.loads(out)["predicted_step_seconds"]
        self.assertLessEqual(seconds["slices"], min(seconds.values()))
        self.assertIsNone(json.loads(self.plan(PROBLEM, "--json")[1])["predicted_step_seconds"])
        _, out, _ = self.plan(PROBLEM, "--cluster", CLUSTER)
        self.assertIn("experts per step: ", out)

    def test_a_configuration_is_planned_by_its_cluster(self):
        precision = ["--set", "train.precision=bf16"]
        code, by_option, err = self.run_command(
            HETMOE, "plan", "small.yaml", *precision, "--ranks", "3", "--json", "--cluster", CLUSTER)
        self.assertEqual((code, err), (0, ""))
        code, by_key, _ = self.run_command(HETMOE, "plan", "small.yaml", *precision, "--ranks", "3", "--json",
                                           "--set", f"placement.cluster={CLUSTER}")
        self.assertEqual((code, by_key), (0, by_option))
        self.assertGreater(json.loads(by_option)["predicted_step_seconds"], 0)

    def test_a_cluster_file_that_is_missing_faulty_or_of_another_precision_is_refused(self):
        code, out, err = self.plan(PROBLEM, "--cluster", "absent.yaml")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("absent.yaml: cannot be read", err)
        text = CLUSTER.read_text()
        line = text[:text.index("threads: 1")].count("\n") + 1
        self.write("faulty.yaml", text.replace("threads: 1", "threads: 0"))
        code, _, err = self.plan(PROBLEM, "--cluster", "faulty.yaml")
        self.assertEqual(code, 2)
        self.assertIn(f"faulty.yaml:{line}: threads: value 0, allowed: 1..", err)
        self.write("faulty.yaml", text.replace('name: "h100_8x_400gbps"\n', ""))
        self.assertIn("faulty.yaml: name: is missing, allowed: any text",
                      self.plan(PROBLEM, "--cluster", "faulty.yaml")[2])
        for no_section in ("fast\n", "[1, 2]\n"):
            self.write("faulty.yaml", no_section)
            self.assertIn("allowed: sections such as memory: and expert_products:",
                          self.plan(PROBLEM, "--cluster", "faulty.yaml")[2])
        code, _, err = self.run_command(HETMOE, "plan", "small.yaml", "--ranks", "2", "--cluster", CLUSTER)
        self.assertEqual(code, 2)
        self.assertIn("are those of bf16, allowed: those of train.precision", err)

    def test_a_run_plans_by_its_cluster_and_keeps_a_copy(self):
        text = CLUSTER.read_text().replace('precision: "bf16"', 'precision: "fp32"')
        self.write("cluster.yaml", text)
        arguments = ["small.yaml", "--set", "placement.cluster=cluster.yaml"]
        code, out, _ = self.run_command(HETMOE, "plan", *arguments, "--ranks", "2", "--json")
        self.assertEqual(code, 0)
        code, _, err = self.train(*arguments, "--run-dir", "run", ranks=2)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual((self.folder / "run/cluster.yaml").read_text(), text)
        self.assertEqual(self.read_json("run/plan.json"), json.loads(out))
        self.write("cluster.yaml", "name: 3\n")
        code, _, err = self.train(*arguments, "--run-dir", "faulty", ranks=2)
        self.assertEqual(code, 2)
        self.assertIn("cluster.yaml: precision: is missing", err)
        self.assertFalse((self.folder / "faulty/cluster.yaml").exists())

    def test_a_faulty_problem_is_refused_by_pointer(self):
        faulty = dict(PROBLEM, layers=[{"widths": [1, 0], "tokens": [1, 1]}])
        code, out, err = self.plan(faulty)
        self.assertEqual((code, out), (2, ""))
        self.assertIn("/layers/0/widths/1 is 0", err)

    def test_a_plan_of_a_configuration_trains_like_whole_experts(self):
        sizes = ["--set", "model.experts.mean_width=48", "--set", "placement.granularity=4"]
        code, _, err = self.run_command(HETMOE, "plan", "small.yaml", *sizes, "--ranks", "3", "--out", "plan.json")
        self.assertEqual((code, err), (0, ""))
        pieces = self.read_json("plan.json")["layers"][0]["slices"]
        self.assertGreater(len(pieces), 4, "no expert is cut")
        losses = {}
        for name, strategy in (("cut", "plan.json"), ("whole", "whole")):
            code, _, err = self.train("small.yaml", *sizes, "--set", f"placement.strategy={strategy}",
                                      "--run-dir", name, ranks=3)
            self.assertEqual((code, err), (0, ""))
            losses[name] = [line["loss"] for line in self.read_lines(f"{name}/metrics.jsonl")]
        for cut, whole in zip(losses["cut"], losses["whole"], strict=True):
            self.assertAlmostEqual(cut, whole, delta=1e-5 * whole)


if __name__ == "__main__":
    unittest.main()
