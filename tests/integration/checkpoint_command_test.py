"""`hetmoe checkpoint list|verify|inspect` on checkpoints that none of our code wrote."""

import json
import os
import shutil
import struct
import subprocess
import unittest

from command_line import HETMOE, CommandLineCase

DIGEST = os.environ["HETMOE_XXH3"]


def safetensors(tensors):
    """The bytes of a file of {key: (shape, values)}, fp32."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, (shape, values) in tensors.items():
        begin = len(data)
        data += struct.pack(f"<{len(values)}f", *values)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def digests(*paths):
    return subprocess.run([DIGEST, *paths], check=True, capture_output=True, text=True).stdout.split()


class Checkpoint(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.checkpoints = self.folder / "run" / "checkpoints"

    def save(self, step):
        """A step of two files; the rows of `head` stand in both."""
        folder = self.checkpoints / f"step-{step:08}"
        folder.mkdir(parents=True)
        tensors, files = {}, []
        for rank, (begin, end) in enumerate([(0, 2), (2, 5)]):
            name, rows, content = f"rank-{rank}.safetensors", end - begin, {}
            for tensor in ("head", "exp_avg.head", "exp_avg_sq.head"):
                key = f"{tensor}#{begin}:{end}"
                content[key] = [rows, 3], [float(step)] * 3 * rows
                parts = tensors.setdefault(tensor, {"dtype": "F32", "shape": [5, 3], "parts": []})["parts"]
                parts.append({"rows": [begin, end], "file": name, "key": key})
            (folder / name).write_bytes(safetensors(content))
            files.append({"name": name, "bytes": (folder / name).stat().st_size,
                          "digest": digests(folder / name)[0]})
        layers = [{"slices": [{"expert": 0, "rank": 0, "begin": 0, "end": 8, "share": 1.0},
                              {"expert": 1, "rank": 0, "begin": 0, "end": 4, "share": 1.0},
                              {"expert": 1, "rank": 1, "begin": 4, "end": 16, "share": 1.0}]}]
        state = {"sampler": {"seed": 7}, "optimizer_steps": step - 1, "skipped_steps": 1, "loads": [[3, 5]], "ranks": 2,
                 "expert_group_size": 2, "placement": {"layers": layers, "bound_by": "none"}, "config": "train: {}\n"}
        manifest = {"format": "hetmoe-checkpoint-1", "step": step, "tokens": step * 1000, "generation": 3,
                    "files": files, "tensors": tensors, "state": state}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "COMMITTED").write_text(f"step {step}\nmanifest {digests(folder / 'manifest.json')[0]}\n")
        return folder

    def checkpoint(self, *arguments, code=0):
        """Standard output, or with another exit code than 0 standard output and standard error."""
        found, out, err = self.run_command(HETMOE, "checkpoint", *arguments)
        self.assertEqual(found, code, err)
        if code == 0:
            self.assertEqual(err, "")
            return out
        return out, err

    def damage(self, file):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)

    def test_list_shows_steps_and_why_one_does_not_count(self):
        self.save(100)
        unmarked = self.save(200)
        (unmarked / "COMMITTED").unlink()
        shortened = self.save(300)
        with open(shortened / "rank-1.safetensors", "r+b") as file:
            file.truncate(10)
        for path in ("run", "run/checkpoints"):
            found = json.loads(self.checkpoint("list", path, "--json"))["checkpoints"]
            self.assertEqual([(line["step"], line["committed"]) for line in found],
                             [(100, True), (200, False), (300, True)])
            whole, unfinished, damaged = found
            self.assertEqual({key: whole[key] for key in ("fault", "tokens", "generation", "files", "ranks")},
                             {"fault": None, "tokens": 100000, "generation": 3, "files": 2, "ranks": 2})
            self.assertEqual(whole["bytes"],
                             sum(file.stat().st_size for file in (self.checkpoints / "step-00000100").iterdir()))
            self.assertRegex(whole["saved"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn("COMMITTED is missing", unfinished["fault"])
            self.assertIsNone(unfinished["tokens"])
            self.assertIn("rank-1.safetensors: has 10 bytes", damaged["fault"])
        lines = self.checkpoint("list", "run").splitlines()
        self.assertEqual(len(lines), 4)
        self.assertRegex(lines[1], r"^ +100  20.*Z +100 k +\S+ \S*B +2 +2$")
        self.assertIn("not committed, ", lines[2])
        self.assertIn("damaged, ", lines[3])
        self.assertEqual(len(self.checkpoint("list", unmarked).splitlines()), 2)

    def test_list_of_a_run_without_checkpoints_is_empty(self):
        (self.folder / "run").mkdir()
        self.assertEqual(self.checkpoint("list", "run"), "no checkpoint\n")
        self.assertEqual(json.loads(self.checkpoint("list", "run", "--json")), {"checkpoints": []})
        _, err = self.checkpoint("list", "absent", code=3)
        self.assertEqual(err, "hetmoe: cannot read 'absent': No such file or directory\n")

    def test_verify_reads_every_step_and_names_each_damaged_file(self):
        for step in (100, 200, 300):
            self.save(step)
        self.assertEqual(self.checkpoint("verify", "run").count(": whole, 2 files"), 3)
        folder = self.checkpoints / "step-00000200"
        for name in ("rank-0.safetensors", "rank-1.safetensors"):
            self.damage(folder / name)
        (self.checkpoints / "step-00000300" / "COMMITTED").unlink()
        out, err = self.checkpoint("verify", "run", "--json", code=3)
        self.assertEqual(err, "hetmoe: 'run': damaged: 1 of 2 committed checkpoints\n")
        found = json.loads(out)
        self.assertEqual(found["unfinished"], 1)
        self.assertEqual([line["whole"] for line in found["checkpoints"]], [True, False])
        faults = found["checkpoints"][1]["faults"]
        self.assertEqual(len(faults), 2)
        for rank, fault in enumerate(faults):
            self.assertIn(f"run/checkpoints/step-00000200/rank-{rank}.safetensors: is damaged", fault)
        self.assertEqual(self.checkpoint("verify", self.checkpoints / "step-00000100").count("whole"), 1)
        out, _ = self.checkpoint("verify", folder, code=3)
        self.assertIn("DAMAGED, 2 files", out)
        self.assertIn("rank-1.safetensors: is damaged", out)

    def test_verify_finds_an_edited_manifest(self):
        manifest = self.save(100) / "manifest.json"
        manifest.write_text(manifest.read_text().replace("100000", "100001"))
        out, _ = self.checkpoint("verify", "run", code=3)
        self.assertIn("manifest.json: its digest is xxh3-128:", out)

    def test_verify_of_nothing_committed_fails(self):
        folder = self.save(100)
        (folder / "COMMITTED").unlink()
        for path in ("run", folder):
            out, err = self.checkpoint("verify", path, code=3)
            self.assertEqual((out, len(err.splitlines())), ("", 1))
            self.assertIn("holds no committed checkpoint", err)

    def test_inspect_tells_what_the_newest_committed_step_holds(self):
        folder = self.save(100)
        (self.save(200) / "COMMITTED").unlink()
        manifest = json.loads((folder / "manifest.json").read_text())
        found = json.loads(self.checkpoint("inspect", "run", "--json"))
        for key in ("step", "tokens", "generation", "files"):
            self.assertEqual(found[key], manifest[key])
        for key in ("ranks", "expert_group_size", "optimizer_steps", "skipped_steps", "sampler", "loads", "placement"):
            self.assertEqual(found[key], manifest["state"][key])
        self.assertEqual(found["parameters"], 15)
        self.assertNotIn("tensors", found)
        tensors = json.loads(self.checkpoint("inspect", "run", "--json", "--tensors"))["tensors"]
        self.assertEqual([tensor["name"] for tensor in tensors], ["exp_avg.head", "exp_avg_sq.head", "head"])
        self.assertEqual(tensors[2]["parts"], [{"rows": [0, 2], "file": "rank-0.safetensors"},
                                               {"rows": [2, 5], "file": "rank-1.safetensors"}])
        text = self.checkpoint("inspect", "run")
        for line in ("step 100, 100 k tokens, 99 optimizer updates, 1 skipped",
                     "15 in 1 tensor, moments of all",
                     "3 slices in 1 layer on 2 ranks, 1 expert cut",
                     "generation 3, by 2 ranks in expert groups of 2",
                     "sampler      seed 7",
                     manifest["files"][1]["digest"]):
            self.assertIn(line, text)
        self.assertIn("0:2 rank-0.safetensors 2:5 rank-1.safetensors",
                      self.checkpoint("inspect", "run", "--tensors"))

    def test_a_copy_under_any_name_is_a_checkpoint(self):
        copy = self.folder / "best"
        shutil.copytree(self.save(100), copy)
        self.assertEqual(json.loads(self.checkpoint("inspect", copy, "--json"))["step"], 100)
        self.checkpoint("verify", copy)
        renamed = self.checkpoints / "step-00000101"
        copy.rename(renamed)
        _, err = self.checkpoint("inspect", renamed, code=3)
        self.assertIn("is of step 100", err)

    def test_usage(self):
        _, err = self.checkpoint(code=2)
        self.assertIn("allowed: list, verify, inspect", err)
        _, err = self.checkpoint("list", code=2)
        self.assertIn("PATH", err)


if __name__ == "__main__":
    unittest.main()
