"""`hetmoe import`: models that transformers has saved compute here what they compute there, and train on."""

from __future__ import annotations

import json
import unittest

import torch
import transformers
from exchange_case import BYTES, HETMOE, ExchangeCase
from safetensors.torch import load_file, save_file

SIZES = {
    "vocab_size": BYTES,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.25,
    "max_position_embeddings": 64,
    "rope_parameters": {"rope_type": "default", "rope_theta": 700.0},
    "eos_token_id": 256,
    "bos_token_id": None,
}
MIXTURE = {"num_experts_per_tok": 2}


def llama(**keys):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SIZES, "intermediate_size": 18, **keys}))


def mixtral(**keys):
    config = {**SIZES, **MIXTURE, "intermediate_size": 24, "num_local_experts": 3, **keys}
    return transformers.MixtralForCausalLM(transformers.MixtralConfig(**config))


def qwen3(**keys):
    config = {**SIZES, **MIXTURE, "moe_intermediate_size": 24, "num_experts": 3, "head_dim": 10, **keys}
    return transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(**config))


class ImportCase(ExchangeCase):
    def saved(self, model, dtype=torch.float32, **options):
        """What was saved, in fp32. Norms become unequal too: ones would hide where they belong."""
        generator = torch.Generator().manual_seed(3)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
        model.to(dtype).save_pretrained(self.folder / "theirs", **options)
        # Not model.float(): narrow frequencies of positions would stay narrow.
        return model.eval() if dtype == torch.float32 else self.load(self.folder / "theirs")

    def imported(self, *options, out="imported"):
        self.succeed(HETMOE, "import", "theirs", "--out", out, *options)
        return self.folder / out

    def assert_same_model(self, model, checkpoint):
        self.assert_same_logits(checkpoint, model)
        lists = self.held_out()
        lists = [tokens[:64] for tokens in lists]
        self.assertAlmostEqual(self.our_loss(checkpoint, lists), self.peer_loss(model, lists), delta=1e-4)

    def edit(self, **keys):
        path = self.folder / "theirs" / "config.json"
        config = json.loads(path.read_text())
        for key, value in keys.items():
            if value is ...:
                config.pop(key, None)
            else:
                config[key] = value
        path.write_text(json.dumps(config))


class Imported(ImportCase):
    def test_models_compute_the_same(self):
        models = {
            "mixtral": lambda: mixtral(),
            "mixtral, one per token": lambda: mixtral(num_experts_per_tok=1),
            "mixtral, tied": lambda: mixtral(tie_word_embeddings=True),
            "qwen3, renormalised": lambda: qwen3(norm_topk_prob=True),
            "qwen3": lambda: qwen3(norm_topk_prob=False, num_experts_per_tok=1),
            "llama": lambda: llama(),
            "llama, tied": lambda: llama(tie_word_embeddings=True, head_dim=8),
        }
        for number, (name, make) in enumerate(models.items()):
            with self.subTest(name):
                torch.manual_seed(number)
                model = self.saved(make())
                self.assert_same_model(model, self.imported(out=f"imported{number}"))

    def test_halves_are_read_exactly(self):
        for dtype in (torch.bfloat16, torch.float16):
            with self.subTest(str(dtype)):
                model = self.saved(mixtral(), dtype=dtype)
                self.assert_same_model(model, self.imported(out=str(dtype)))

    def test_several_files(self):
        model = self.saved(mixtral(), max_shard_size="20KB")
        self.assertGreater(len(list((self.folder / "theirs").glob("*.safetensors"))), 2)
        self.assert_same_model(model, self.imported())

    def test_stacked_experts(self):
        for number, make in enumerate((mixtral, qwen3)):
            model = self.saved(make())
            stacked = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
            self.assertTrue(any(name.endswith("experts.gate_up_proj") for name in stacked))
            save_file(stacked, self.folder / "theirs" / "model.safetensors", {"format": "pt"})
            self.assert_same_model(model, self.imported(out=f"stacked{number}"))

    def test_what_transformers_4_wrote(self):
        model = self.saved(mixtral())
        self.edit(rope_parameters=..., rope_theta=700.0, rope_scaling=None, head_dim=...)
        self.assert_same_model(model, self.imported())

    def test_go_back_bit_for_bit(self):
        for number, make in enumerate((mixtral, qwen3, llama)):
            model = self.saved(make())
            theirs = load_file(self.folder / "theirs" / "model.safetensors")
            folder, found = self.export(self.imported(out=f"imported{number}"), out=f"back{number}")
            self.assertEqual(found["architecture"], type(model).__name__)
            back = load_file(folder / "model.safetensors")
            self.assertEqual(back.keys(), theirs.keys())
            for name, tensor in theirs.items():
                self.assertTrue(torch.equal(tensor, back[name]), name)
            again = self.load(folder)
            ids = torch.tensor([[5, 9, 200, 31]])
            self.assertTrue(torch.equal(model(ids).logits, again(ids).logits))

    def test_checkpoints_verify_generate_and_say_what_they_are_not(self):
        model = self.saved(mixtral())
        (self.folder / "theirs" / "tokenizer.json").write_text("{}")
        folder = self.imported()
        self.assertEqual((folder / "tokenizer.json").read_text(), "{}")
        self.succeed(HETMOE, "checkpoint", "verify", folder)
        self.assert_same_text(folder, model, "ocean", "--tokenizer", "bytes")
        code, _, err = self.run_command(HETMOE, "train", folder / "config.yaml", "--run-dir", folder, "--set",
                                        "data.train=random", "--set", "train.steps=2")
        self.assertEqual(code, 3)
        self.assertIn("weights without moments, from which a run begins (--init) and cannot go on", err)


class Trained(ImportCase):
    def one_window(self):
        """Text of one training window, as token ids."""
        self.write("window.txt", "The sea is deep and wide.")
        self.succeed(HETMOE, "data", "prepare", "window.txt", "--out", "window", "--tokenizer", "bytes",
                     "--valid-fraction", "0", "--force")
        return [*b"The sea is deep and wide.", 256]

    def first_steps(self, checkpoint, *settings):
        tokens = self.one_window()
        words = ("data.train=window/train", f"train.sequence_length={len(tokens) - 1}", "train.global_batch=1",
                 "train.steps=4", "train.warmup_steps=0", "train.learning_rate=0.01", *settings)
        self.succeed(HETMOE, "train", checkpoint / "config.yaml", "--init", checkpoint, "--run-dir", "run",
                     *(word for setting in words for word in ("--set", setting)))
        return tokens, [line["loss"] for line in self.read_lines("run/metrics.jsonl") if "loss" in line]

    def test_begins_with_the_loss_that_transformers_computes_and_learns(self):
        for make in (mixtral, qwen3, llama):
            with self.subTest(make.__name__):
                model = self.saved(make())
                tokens, losses = self.first_steps(self.imported(out=make.__name__),
                                                  "train.seed=" + str(len(make.__name__)), "train.steps=5")
                self.assertAlmostEqual(losses[0], self.peer_loss(model, [tokens]), delta=1e-4)
                self.assertLess(losses[-1], losses[0] - 0.5)
                self.succeed("rm", "-r", "run")

    def test_after_training_it_goes_back(self):
        self.saved(mixtral())
        self.first_steps(self.imported())
        folder, _ = self.export("run")
        self.assert_same_logits(self.folder / "run", self.load(folder))


class Upcycled(ImportCase):
    def test_whole_multiples_of_the_dense_width_compute_what_the_dense_model_did(self):
        model = self.saved(llama())
        self.assert_same_logits(self.imported("--upcycle-widths", "18,36,18", "--top-k", "2"), model)

    def test_any_widths_train(self):
        model = self.saved(llama())
        checkpoint = self.imported("--upcycle-widths", "7,18,25,5", "--top-k", "1")
        self.assertIn("widths: [7, 18, 25, 5]", (checkpoint / "config.yaml").read_text())
        folder, _ = self.export(checkpoint, "--layout", "native")
        weights, dense = load_file(folder / "model.safetensors"), load_file(self.folder / "theirs/model.safetensors")
        rows = [(7 + 18 + unit) % 18 for unit in range(25)]
        name = "model.layers.1.mlp."
        for matrix in ("gate_proj", "up_proj"):
            self.assertTrue(torch.equal(weights[f"{name}experts.2.{matrix}.weight"],
                                        dense[f"{name}{matrix}.weight"][rows]))
        torch.testing.assert_close(weights[name + "experts.2.down_proj.weight"],
                                   dense[name + "down_proj.weight"][:, rows] * (18 / 25 * 4))
        self.assertTrue(torch.equal(weights["model.norm.weight"], model.model.norm.weight))
        self.assertGreater(weights[name + "gate.weight"].std().item(), 0.01)

    def test_only_dense_models(self):
        self.saved(mixtral())
        self.refuse("--upcycle-widths: theirs is a mixtral, allowed: a dense llama", HETMOE, "import", "theirs",
                    "--out", "out", "--upcycle-widths", "8,8", code=2)
        self.saved(llama())
        self.refuse("--upcycle-widths: as model.router.top_k: value 3, allowed: at most model.experts.count 2", HETMOE,
                    "import", "theirs", "--out", "out", "--upcycle-widths", "8,8", "--top-k", "3")


class Refused(ImportCase):
    def refuse_import(self, text):
        self.refuse(text, HETMOE, "import", "theirs", "--out", "out")
        self.assertFalse((self.folder / "out").exists())

    def test_what_a_real_model_of_another_kind_saves(self):
        scaled = {"rope_type": "linear", "rope_theta": 700.0, "factor": 2.0}
        for model, text in (
            (llama(rope_parameters=scaled), 'rope_type: "linear", allowed: default'),
            (llama(attention_bias=True), "attention_bias: true, allowed: false"),
            (llama(mlp_bias=True), "mlp_bias: true, allowed: false"),
            (llama(hidden_act="gelu"), 'hidden_act: "gelu", allowed: silu'),
            (mixtral(sliding_window=16), "sliding_window: 16, allowed: null, or at least max_position_embeddings"),
            (qwen3(mlp_only_layers=[1], intermediate_size=18), "mlp_only_layers: [1], allowed: []"),
            (qwen3(decoder_sparse_step=2, intermediate_size=18), "decoder_sparse_step: 2, allowed: 1"),
        ):
            with self.subTest(text):
                self.saved(model)
                self.refuse_import(text)
        config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=50)
        transformers.GPT2LMHeadModel(config).save_pretrained(self.folder / "theirs")
        self.refuse_import('model_type: "gpt2", allowed: mixtral, qwen3_moe, llama')

    def test_a_model_with_shared_experts(self):
        config = {**SIZES, **MIXTURE, "moe_intermediate_size": 8, "num_experts": 3,
                  "shared_expert_intermediate_size": 8}
        self.saved(transformers.Qwen2MoeForCausalLM(transformers.Qwen2MoeConfig(**config)))
        self.refuse_import('model_type: "qwen2_moe"')
        self.saved(mixtral())
        self.edit(n_shared_experts=1)
        self.refuse_import("n_shared_experts: 1, allowed: none")

    def test_tensors_that_are_missing_left_over_or_of_another_shape(self):
        self.saved(llama())
        path = self.folder / "theirs" / "model.safetensors"
        whole = load_file(path)
        norm = "model.layers.1.input_layernorm.weight"

        def put(text, **changes):
            tensors = {**whole, **{name: tensor for name, tensor in changes.items()}}
            save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, {"format": "pt"})
            self.refuse_import(text)

        put(f"tensor {norm} is missing", **{norm: None})
        put(f"tensor {norm} is [25], the model needs [24]", **{norm: torch.ones(25)})
        put("tensor model.layers.1.self_attn.q_proj.bias is none that the model has",
            **{"model.layers.1.self_attn.q_proj.bias": torch.ones(24)})
        put(f'tensor "{norm}" is I32, allowed: F32, BF16, F16', **{norm: torch.ones(24, dtype=torch.int32)})
        self.edit(tie_word_embeddings=True)
        put("tie_word_embeddings is true, and it is not the embedding")

    def test_an_index_that_leaves_the_folder_or_lies(self):
        self.saved(llama(), max_shard_size="10KB")
        path = self.folder / "theirs" / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        for name in ("../theirs/model-00001-of-00002.safetensors", "/etc/passwd", "..", ""):
            changed = json.loads(json.dumps(index))
            changed["weight_map"]["lm_head.weight"] = name
            path.write_text(json.dumps(changed))
            self.refuse_import("allowed: a file of this folder")
        moved = json.loads(json.dumps(index))
        right = index["weight_map"]["lm_head.weight"]
        moved["weight_map"]["lm_head.weight"] = next(name for name in index["weight_map"].values() if name != right)
        path.write_text(json.dumps(moved))
        self.refuse_import("lm_head.weight")

    def test_no_model_at_all(self):
        self.refuse_import("theirs/config.json")
        self.write("theirs/config.json", "[1, 2")
        self.refuse_import("is no JSON object")
        self.saved(llama())
        (self.folder / "theirs" / "model.safetensors").unlink()
        self.refuse_import("holds no weights")


if __name__ == "__main__":
    unittest.main()
