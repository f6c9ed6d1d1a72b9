"""What the tests of export and import share: text, small trained models, and both programs' answers."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

# Code that travels with a model is copied there; the user's own folder stays as it is.
_MODULES = tempfile.TemporaryDirectory(prefix="hetmoe-modules-")
os.environ["HF_MODULES_CACHE"] = _MODULES.name
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import torch
import transformers
from command_line import ENVIRONMENT, HETMOE, PROJECT, CommandLineCase

PRINT_LOGITS = pathlib.Path(os.environ.get("HETMOE_PRINT_LOGITS", PROJECT / "build" / "hetmoe_print_logits"))
TEXT = pathlib.Path(__file__).parent / "reference" / "text.txt"
FP32 = ("--set", "train.precision=fp32")
BYTES = 257  # tokens of the byte tokenizer
MOST_DIFFERENCE = 1e-4

CONFIGURATION = """\
model:
  vocab_size: {vocab_size}
  hidden_size: 24
  num_layers: 2
  num_heads: 4
  num_kv_heads: 2
  initializer_range: 0.25
  experts: {{widths: [9, 16, 5, 24]}}
data: {{train: {data}/train, valid: {data}/valid}}
train: {{steps: 6, global_batch: 4, sequence_length: 32, warmup_steps: 0, learning_rate: 0.02, precision: fp32}}
evaluate: {{every_steps: 0}}
parallel: {{threads: 1}}
"""


def prompts(vocab_size, count=10):
    generator = torch.Generator().manual_seed(11)
    lengths = torch.randint(2, 13, (count,), generator=generator).tolist()
    return [torch.randint(vocab_size, (length,), generator=generator).tolist() for length in lengths]


class ExchangeCase(CommandLineCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        warnings.filterwarnings("ignore", category=UserWarning)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        folder = tempfile.TemporaryDirectory(prefix="hetmoe-data-")
        cls.addClassCleanup(folder.cleanup)
        cls.data = pathlib.Path(folder.name)
        for name, options in (("bytes", ["--tokenizer", "bytes"]), ("pieces", ["--train-vocabulary", "900"])):
            subprocess.run([HETMOE, "data", "prepare", TEXT, "--out", cls.data / name, *options,
                            "--document-separator", "blank-line", "--valid-fraction", "0.2"],
                           check=True, capture_output=True, env=ENVIRONMENT)

    def succeed(self, *command):
        code, out, err = self.run_command(*command)
        self.assertEqual(code, 0, f"{command}\n{out}{err}")
        return out

    def refuse(self, text, *command, code=3):
        found, _, err = self.run_command(*command)
        line = "\n".join(line for line in err.splitlines() if line.startswith("hetmoe: "))
        self.assertIn(text, line)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertEqual(found, code, err)

    def trained(self, *settings, data="bytes", vocab_size=BYTES):
        """A run directory; the model is far from its initial values."""
        self.write("run.yaml", CONFIGURATION.format(vocab_size=vocab_size, data=self.data / data))
        words = [word for setting in settings for word in ("--set", setting)]
        self.succeed(HETMOE, "train", "run.yaml", "--run-dir", "run", *words)
        return self.folder / "run"

    def export(self, run, *options, out="exported"):
        found = json.loads(self.succeed(HETMOE, "export", run, "--out", out, "--json", *options))
        return self.folder / out, found

    def load(self, folder, **options):
        """Nothing is missing, nothing is left over, no shape differs."""
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder, output_loading_info=True, trust_remote_code=True, **{"dtype": torch.float32, **options})
        for kind, names in info.items():
            self.assertFalse(names, f"{kind}: {names}")
        return model.eval()

    def our_logits(self, checkpoint, lists):
        out = subprocess.run([PRINT_LOGITS, checkpoint, json.dumps(lists)], check=True, capture_output=True, text=True,
                             env=ENVIRONMENT).stdout
        return [torch.tensor(rows) for rows in json.loads(out)]

    def our_loss(self, checkpoint, lists):
        out = self.succeed(HETMOE, "evaluate", checkpoint, "--tokens", json.dumps(lists), *FP32, "--json")
        return json.loads(out)["loss"]

    def peer_loss(self, model, lists):
        total = 0.0
        with torch.no_grad():
            for tokens in lists:
                ids = torch.tensor([tokens])
                total += model(ids, labels=ids).loss.item() * (len(tokens) - 1)
        return total / sum(len(tokens) - 1 for tokens in lists)

    def assert_same_logits(self, checkpoint, model, most=MOST_DIFFERENCE):
        lists = prompts(model.config.vocab_size)
        spread = 0.0
        for tokens, ours in zip(lists, self.our_logits(checkpoint, lists), strict=True):
            with torch.no_grad():
                theirs = model(torch.tensor([tokens])).logits[0].float()
            self.assertLessEqual((ours - theirs).abs().max().item(), most)
            spread = max(spread, theirs.std().item())
        self.assertGreater(spread, 0.3, "logits are all alike, which shows nothing")

    def held_out(self):
        """Sequences of byte tokens from the end of the text."""
        tokens = list(TEXT.read_bytes()[-400:])
        return [tokens[:150], tokens[150:260], tokens[260:]]

    def generated(self, checkpoint, prompt, *options):
        """Greedy: (tokens of the prompt, tokens after it)."""
        out = json.loads(self.succeed(HETMOE, "generate", checkpoint, "--prompt", prompt, "--temperature", "0",
                                      "--max-tokens", "12", "--json", *FP32, *options))
        return out["prompt_tokens"], out["tokens"], out["ended"]

    def assert_same_text(self, checkpoint, model, prompt, *options):
        tokens, ours, ended = self.generated(checkpoint, prompt, *options)
        ids = torch.tensor([tokens])
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
                                pad_token_id=0)[0, len(tokens):].tolist()
        self.assertEqual(theirs[: len(ours)], ours)
        self.assertEqual(len(theirs) - len(ours), int(ended))
