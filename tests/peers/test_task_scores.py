"""`hetmoe evaluate --task` against lm-evaluation-harness itself: its task files, prompts, tokens and scores, over the
plain PyTorch model with the parameters of the same checkpoint.

HETMOE and HETMOE_SAVE_CHECKPOINT name the program and what makes its checkpoint; without them, or without lm_eval,
these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import safetensors.torch
import torch

from reference_model import ModelConfig, ReferenceModel

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import task_items  # noqa: E402

HETMOE = os.environ.get("HETMOE", "")
SAVE = os.environ.get("HETMOE_SAVE_CHECKPOINT", "")
END_OF_DOCUMENT = 256
WINDOW = 120  # cuts some of the items
MODEL = """\
model: {vocab_size: 257, hidden_size: 32, num_layers: 2, num_heads: 4, num_kv_heads: 2, initializer_range: 0.3,
        experts: {count: 4, widths: [8, 24, 32, 64]}, router: {top_k: 2}}
data: {train: random}
train: {steps: 3, global_batch: 4, sequence_length: %d, warmup_steps: 0, precision: fp32}
evaluate: {every_steps: 0}
parallel: {threads: 1}
""" % WINDOW
CONFIG = ModelConfig(vocab_size=257, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=8,
                     widths=(8, 24, 32, 64), top_k=2)
# The harness's file of each task.
TASK_FILES = {
    "HellaSwag": "hellaswag/hellaswag.yaml", "PIQA": "piqa/piqa.yaml", "ARC": "arc/arc_easy.yaml",
    "OpenBookQA": "openbookqa/openbookqa.yaml", "WinoGrande": "winogrande/default.yaml",
    "BoolQ": "super_glue/boolq/default.yaml", "SIQA": "siqa/siqa.yaml",
}  # fmt: skip


def parameters_of(checkpoint: pathlib.Path) -> dict[str, torch.Tensor]:
    """Rows of every tensor, put together from the keys NAME#begin:end of all files."""
    parts: dict[str, list] = {}
    for file in checkpoint.glob("*.safetensors"):
        for key, rows in safetensors.torch.load_file(file).items():
            name, _, place = key.partition("#")
            if name.startswith(("exp_avg.", "exp_avg_sq.")):
                continue
            parts.setdefault(name, []).append((int(place.split(":")[0]), rows))
    return {name: torch.cat([rows for _, rows in sorted(found, key=lambda part: part[0])]).double()
            for name, found in parts.items()}


def harness_model(parameters):
    """The reference model as the harness asks models; the harness itself makes tokens of the pairs."""
    from lm_eval.api.model import TemplateLM

    class BytesModel(TemplateLM):
        model = ReferenceModel(CONFIG, parameters)
        backend = "causal"
        eot_token_id = END_OF_DOCUMENT

        def tok_encode(self, string, add_special_tokens=None, **_):
            return list(string.encode())

        def _loglikelihood_tokens(self, requests, **_):
            results = []
            for _, context, continuation in requests:
                whole = (context + continuation)[-(WINDOW + 1):]
                with torch.no_grad():
                    logits, _ = self.model.forward(torch.tensor([whole[:-1]]))
                chances = logits[0, -len(continuation):].log_softmax(-1)
                picked = chances.gather(1, torch.tensor(continuation).unsqueeze(1)).sum().item()
                results.append((picked, False))
            return results

        def loglikelihood_rolling(self, requests, disable_tqdm=False):
            raise NotImplementedError

        def generate_until(self, requests, disable_tqdm=False):
            raise NotImplementedError

    return BytesModel()


@unittest.skipUnless(HETMOE and SAVE, "HETMOE and HETMOE_SAVE_CHECKPOINT are not set")
@unittest.skipUnless(importlib.util.find_spec("lm_eval"), "lm_eval is not installed")
class SameScoresAsTheHarness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="hetmoe-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        os.environ["HF_HOME"] = str(cls.folder / "hub")  # datasets keeps copies of what it reads
        (cls.folder / "model.yaml").write_text(MODEL)
        subprocess.run([SAVE, "model.yaml", "run", "7", "2"], cwd=cls.folder, check=True)
        (checkpoint,) = (cls.folder / "run/checkpoints").glob("step-*")
        cls.model = harness_model(parameters_of(checkpoint))

    def ours(self, path):
        done = subprocess.run([HETMOE, "evaluate", "run", "--tokenizer", "bytes", "--task", path, "--items", "items",
                               "--json"], cwd=self.folder, check=True, capture_output=True, text=True)
        lines = [json.loads(line) for line in (self.folder / "items").read_text().splitlines()]
        return json.loads(done.stdout)["tasks"][0], lines

    def harness(self, shape, path):
        """Metrics of the task, and the log-likelihoods of its items."""
        import lm_eval
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.tasks._yaml_loader import load_yaml

        file = pathlib.Path(lm_eval.__file__).parent / "tasks" / TASK_FILES[shape]
        task = dict(load_yaml(file, resolve_func=True))
        task.update(dataset_path="json", dataset_name=None, training_split=None, test_split=None,
                    validation_split="validation", dataset_kwargs={"data_files": {"validation": str(path)}},
                    metric_list=[{"metric": name, "aggregation": "mean", "higher_is_better": True}
                                 for name in ("acc", "acc_norm", "acc_bytes")])
        results = simple_evaluate(model=self.model, tasks=[task], log_samples=True, verbosity="ERROR")
        samples = sorted(results["samples"][task["task"]], key=lambda sample: sample["doc_id"])
        values = [[float(answer[0][0]) if isinstance(answer[0], (list, tuple)) else float(answer[0])
                   for answer in sample["resps"]] for sample in samples]
        return results["results"][task["task"]], values

    def compare(self, shape, count):
        items = task_items.SHAPES[shape](count)
        if shape == "BoolQ":  # of the two names that we take, the harness's
            items = [{**item, "label": int(item.pop("label", item.pop("answer", 0)))} for item in map(dict, items)]
        path = self.folder / f"{shape}.jsonl"
        path.write_text(task_items.lines(items))
        ours, lines = self.ours(path.name)
        theirs, values = self.harness(shape, path)
        self.assertEqual(len(values), count)
        for line, expected in zip(lines, values, strict=True):
            for value, likelihood in zip(line["log_likelihoods"], expected, strict=True):
                self.assertAlmostEqual(value, likelihood, delta=1e-4 * max(1, abs(likelihood)))
        # Where the options stand in the context the harness reports no normalised accuracy.
        for metric in ("acc",) if shape == "WinoGrande" else ("acc", "acc_norm", "acc_bytes"):
            self.assertEqual(ours[metric], theirs[f"{metric},none"], metric)
            self.assertAlmostEqual(ours[metric + "_stderr"], theirs[f"{metric}_stderr,none"], delta=1e-12)
        return ours

    def test_fifty_items_of_hellaswag_and_piqa(self):
        cut = [self.compare(shape, 50)["truncated"] for shape in ("HellaSwag", "PIQA")]
        self.assertGreater(sum(cut), 0)

    def test_the_other_tasks(self):
        for shape in TASK_FILES.keys() - {"HellaSwag", "PIQA"}:
            with self.subTest(shape):
                self.compare(shape, 20)


if __name__ == "__main__":
    unittest.main()
