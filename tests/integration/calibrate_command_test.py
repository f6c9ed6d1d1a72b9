"""`hetmoe calibrate`: the cluster file, the table and the document, alone and on two ranks."""

import json
import math
import unittest

from command_line import CONFIGURATION, HETMOE, CommandLineCase, mpirun

QUICK = ["--seconds", "0.2", "--threads", "1"]


def numbers(tree):
    """Every number of a document, with the path of its keys."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from ((f"{key}.{path}", number) for path, number in numbers(value))
    elif isinstance(tree, list):
        for value in tree:
            yield from numbers(value)
    elif not isinstance(tree, str):
        yield "", tree


class Calibrate(CommandLineCase):
    def calibrate(self, *arguments, ranks=0):
        command = [HETMOE, "calibrate", "small.yaml", *QUICK, *arguments]
        return self.run_command(*(mpirun(ranks, *command) if ranks else command))

    def expect_sound(self, cluster):
        for path, number in numbers(cluster):
            self.assertTrue(math.isfinite(number), path)
            # A remainder that noise swallowed is zero.
            (self.assertGreaterEqual if path.startswith("layer.") else self.assertGreater)(number, 0, path)
        products = cluster["expert_products"]
        cells = math.prod(len(products[axis]) for axis in ("hidden_sizes", "rows", "widths"))
        for table in ("forward_seconds", "backward_seconds"):
            self.assertEqual(len(products[table]), cells)

    def test_one_rank_measures_the_sizes_of_a_configuration(self):
        code, out, err = self.calibrate("--out", "cluster.yaml", "--json", "--set", "train.precision=fp32")
        self.assertEqual(code, 0, err)
        cluster = json.loads(out)
        self.expect_sound(cluster)
        self.assertEqual((cluster["precision"], cluster["threads"]), ("fp32", 1))
        self.assertEqual(cluster["expert_products"]["hidden_sizes"], [32])
        self.assertEqual(cluster["expert_products"]["rows"][-1], 64)  # all tokens of a step
        self.assertIn("one rank", cluster["source"])
        self.assertIn("expert_products:", (self.folder / "cluster.yaml").read_text())
        for section in ("peak", "expert products", "dense", "attention", "head", "optimizer", "layers", "links"):
            self.assertIn(section, err)

    def test_two_ranks_write_one_file_and_one_document(self):
        code, out, err = self.calibrate("--out", "cluster.yaml", "--json", "--precision", "bf16", ranks=2)
        self.assertEqual(code, 0, err)
        cluster = json.loads(out)
        self.expect_sound(cluster)
        self.assertEqual(cluster["precision"], "bf16")
        self.assertEqual(cluster["links"]["ranks_per_node"], 2)
        self.assertEqual(cluster["links"]["same_node"], cluster["links"]["other_node"])
        self.assertIn("2 ranks on 1 node", cluster["source"])
        self.assertIn("other_node not measured", cluster["source"])
        self.assertEqual(err.count("hetmoe: links"), 1)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["cluster.yaml", "small.yaml"])

    def test_people_get_a_table(self):
        code, out, err = self.calibrate("--out", "cluster.yaml")
        self.assertEqual(code, 0, err)
        for text in ("peak", "same node", "experts at hidden size 32", "attention", "output head"):
            self.assertIn(text, out)

    def test_a_path_that_cannot_be_written_is_refused_before_measuring(self):
        for path in ("missing/cluster.yaml", "."):
            for ranks in (0, 2):
                code, out, err = self.calibrate("--out", path, ranks=ranks)
                self.assertEqual((code, out), (3, ""), err)
                lines = [line for line in err.splitlines() if line.startswith("hetmoe: ")]
                self.assertEqual(len(lines), 1, err)
                self.assertIn(f"cannot write '{path}'", lines[0])
        self.assertEqual([path.name for path in self.folder.iterdir()], ["small.yaml"])

    def test_forced_routing_is_measured_with_the_router(self):
        code, out, err = self.calibrate("--out", "cluster.yaml", "--json", "--set", "model.router.forced=W3",
                                        "--precision", "fp32")
        self.assertEqual(code, 0, err)
        self.expect_sound(json.loads(out))

    def test_ranks_with_different_configurations(self):
        self.write("other.yaml", CONFIGURATION.replace("num_layers: 2", "num_layers: 3"))
        first = mpirun(1, HETMOE, "calibrate", "small.yaml", *QUICK, "--out", "cluster.yaml")
        code, out, err = self.run_command(*first, ":", "-np", "1", HETMOE, "calibrate", "other.yaml", *QUICK,
                                          "--out", "cluster.yaml")
        self.assertEqual((code, out), (2, ""), err)
        self.assertIn("rank 1: other.yaml: not the same configuration as on rank 0", err)
        self.assertFalse((self.folder / "cluster.yaml").exists())

    def test_faulty_options_are_usage_errors(self):
        for arguments in (["--precision", "fp16"], ["--threads", "0"], ["--seconds", "-1"]):
            code, out, err = self.run_command(HETMOE, "calibrate", "--out", "cluster.yaml", *arguments)
            self.assertEqual((code, out), (2, ""))
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertIn(arguments[0], err)
        code, out, err = self.run_command(HETMOE, "calibrate")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("--out", err)


if __name__ == "__main__":
    unittest.main()
