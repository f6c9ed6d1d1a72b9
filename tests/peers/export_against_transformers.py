"""`hetmoe export`: transformers loads what it writes and computes what our program computes."""

from __future__ import annotations

import json
import unittest

import torch
import transformers
from exchange_case import BYTES, FP32, HETMOE, ExchangeCase
from safetensors.torch import load_file

NO_RENORMALISATION = "model.router.renormalize=false"


class PaddedToStandardClasses(ExchangeCase):
    def check(self, architecture, *settings):
        run = self.trained(*settings)
        folder, found = self.export(run)
        self.assertEqual(found["architecture"], architecture)
        model = self.load(folder)
        self.assertEqual(type(model).__name__, architecture)
        self.assert_same_logits(run, model)
        lists = self.held_out()
        self.assertAlmostEqual(self.our_loss(run, lists), self.peer_loss(model, lists), delta=1e-4)
        self.assert_same_text(run, model, "ocean")
        return folder, found

    def test_two_of_four_unequal_experts_with_shared_key_heads_are_mixtral(self):
        folder, found = self.check("MixtralForCausalLM")
        self.assertGreater(found["stored_parameters"], found["parameters"])
        config = json.loads((folder / "config.json").read_text())
        self.assertEqual(config["hetmoe"]["expert_widths"], [9, 16, 5, 24])
        self.assertEqual((config["intermediate_size"], config["rope_theta"], config["eos_token_id"]), (24, 10000, 256))
        weights = load_file(folder / "model.safetensors")
        narrow = "model.layers.1.block_sparse_moe.experts.2."
        self.assertTrue((weights[narrow + "w1.weight"][5:] == 0).all())
        self.assertTrue((weights[narrow + "w2.weight"][:, 5:] == 0).all())
        self.assertTrue((weights[narrow + "w1.weight"][:5] != 0).any())

    def test_a_head_width_of_its_own_and_another_base_of_positions(self):
        _, found = self.check("MixtralForCausalLM", "model.head_dim=10", "model.rope_theta=500",
                              "model.norm_epsilon=0.01", "model.experts.widths=[9, 16, 5, 21]")
        self.assertEqual(found["stored_parameters"] - found["parameters"], 2 * 3 * 24 * (15 + 8 + 19 + 3))

    def test_tied_embeddings(self):
        folder, _ = self.check("MixtralForCausalLM", "model.tie_embeddings=true")
        self.assertNotIn("lm_head.weight", load_file(folder / "model.safetensors"))

    def test_normalised_queries_and_keys_are_qwen3(self):
        self.check("Qwen3MoeForCausalLM", "model.qk_norm=true", "model.head_dim=10")

    def test_one_expert_per_token_that_is_not_renormalised(self):
        self.check("Qwen2MoeForCausalLM", "model.router.top_k=1")

    def test_one_expert_per_token_with_normalised_queries(self):
        self.check("Qwen3MoeForCausalLM", "model.router.top_k=1", "model.qk_norm=true")

    def test_three_experts_that_are_not_renormalised_and_a_head_width_of_its_own(self):
        self.check("Qwen2MoeForCausalLM", "model.router.top_k=3", NO_RENORMALISATION, "model.head_dim=8")

    def test_one_expert_alone_is_llama(self):
        self.check("LlamaForCausalLM", "model.experts.widths=[23]", "model.router.top_k=1")

    def test_a_renormalised_single_expert_is_mixtral(self):
        self.check("MixtralForCausalLM", "model.router.top_k=1", "model.router.renormalize=true",
                   "model.router.allow_untrained=true")

    def test_what_no_class_computes_is_refused_by_name(self):
        run = self.trained("model.router.kind=top_p")
        self.refuse("--layout padded: no class of transformers has model.router.kind top_p, allowed: --layout native",
                    HETMOE, "export", run, "--out", "out", "--layout", "padded", code=2)
        self.assertFalse((self.folder / "out").exists())


class NativeWithTrueWidths(ExchangeCase):
    def check(self, *settings):
        run = self.trained(*settings)
        folder, found = self.export(run, "--layout", "native")
        self.assertEqual(found["stored_parameters"], found["parameters"])
        model = self.load(folder)
        self.assertEqual(sum(parameter.numel() for parameter in model.parameters()), found["parameters"])
        self.assert_same_logits(run, model)
        lists = self.held_out()
        self.assertAlmostEqual(self.our_loss(run, lists), self.peer_loss(model, lists), delta=1e-4)
        self.assert_same_text(run, model, "ocean")
        return model

    def test_top_k_with_and_without_renormalisation(self):
        self.check("model.router.top_k=3", "model.head_dim=10", "model.qk_norm=true", "model.tie_embeddings=true")

    def test_top_1(self):
        self.check("model.router.top_k=1")

    def test_top_p(self):
        self.check("model.router.kind=top_p", "model.router.top_p=0.7")

    def test_top_p_that_is_not_renormalised(self):
        self.check("model.router.kind=top_p", NO_RENORMALISATION)

    def hyper(self, *settings):
        sizes = ("rank=6", "hidden=7", "embedding=5", "process=8", "input=9", "layer_embedding=3")
        return ["model.hyper.enabled=true", *(f"model.hyper.{size}" for size in sizes), *settings]

    def test_experts_generated_of_those_not_selected(self):
        self.check(*self.hyper())

    def test_experts_generated_of_the_mean_of_those_selected_and_gated(self):
        self.check(*self.hyper("model.hyper.conditioning=selected", "model.hyper.aggregate=mean",
                               "model.hyper.gated=true", "model.router.top_k=1"))

    def test_experts_generated_of_centred_embeddings_with_top_p(self):
        self.check(*self.hyper("model.hyper.aggregate=centred", "model.router.kind=top_p"))

    def test_a_free_adapter(self):
        self.check("model.hyper.enabled=true", "model.hyper.rank=6", "model.hyper.kind=shared_adapter")

    def test_a_free_adapter_per_expert(self):
        self.check("model.hyper.enabled=true", "model.hyper.rank=6", "model.hyper.kind=expert_adapters")

    def test_padded_prompts_of_a_batch_are_answered_as_alone(self):
        model = self.check("model.router.kind=top_p")
        lists = [[3, 200, 17, 90, 5], [61, 7]]
        width = max(len(tokens) for tokens in lists)
        ids = torch.tensor([[0] * (width - len(tokens)) + tokens for tokens in lists])
        mask = torch.tensor([[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in lists])
        options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        together = model.generate(ids, attention_mask=mask, **options)[:, width:]
        for row, tokens in enumerate(lists):
            alone = model.generate(torch.tensor([tokens]), **options)[0, len(tokens):]
            self.assertEqual(together[row].tolist(), alone.tolist())
            without = model.generate(torch.tensor([tokens]), use_cache=False, **options)[0, len(tokens):]
            self.assertEqual(alone.tolist(), without.tolist())


class Files(ExchangeCase):
    def test_are_several_with_an_index_and_give_the_same_model(self):
        run = self.trained()
        one, _ = self.export(run)
        several, found = self.export(run, "--max-shard-size", "10KB", out="several")
        self.assertGreater(len(found["files"]), 3)
        index = json.loads((several / "model.safetensors.index.json").read_text())
        whole = load_file(one / "model.safetensors")
        parts = {}
        for name in found["files"]:
            part = load_file(several / name)
            size = sum(tensor.nbytes for tensor in part.values())
            self.assertTrue(size <= 10_000 or len(part) == 1, name)
            self.assertEqual({index["weight_map"][tensor] for tensor in part}, {name})
            parts.update(part)
        self.assertEqual(index["metadata"]["total_size"], sum(tensor.nbytes for tensor in whole.values()))
        self.assertEqual(parts.keys(), whole.keys())
        for name, tensor in whole.items():
            self.assertTrue(torch.equal(tensor, parts[name]), name)
        self.assert_same_logits(run, self.load(several))

    def test_of_bf16_hold_the_same_rounded(self):
        run = self.trained()
        wide = load_file(self.export(run)[0] / "model.safetensors")
        folder, _ = self.export(run, "--dtype", "bf16", out="narrow")
        for name, tensor in load_file(folder / "model.safetensors").items():
            self.assertEqual(tensor.dtype, torch.bfloat16)
            self.assertTrue(torch.equal(tensor, wide[name].to(torch.bfloat16)), name)
        self.assertEqual(self.load(folder, dtype="auto").dtype, torch.bfloat16)

    def test_replace_nothing_unasked_and_nothing_else(self):
        run = self.trained()
        folder, _ = self.export(run)
        before = sorted(folder.iterdir())
        command = [HETMOE, "export", run, "--layout", "native", "--out"]
        self.refuse("the folder is not empty", *command, folder)
        self.assertEqual(sorted(folder.iterdir()), before)
        self.succeed(*command, folder, "--force")
        self.assertTrue((folder / "modeling_hetmoe.py").exists())
        self.assertFalse([path for path in self.folder.iterdir() if ".partial" in path.name or ".repl" in path.name])
        self.write("mine/config.json", "{}")
        self.write("mine/folder/letter.txt", "dear")
        self.refuse("--force replaces folders of files", *command, "mine", "--force")
        self.assertTrue((self.folder / "mine/folder/letter.txt").exists())

    def test_are_not_made_of_a_damaged_checkpoint(self):
        run = self.trained()
        shard, = run.glob("checkpoints/*/*.safetensors")
        content = bytearray(shard.read_bytes())
        content[-3] ^= 4
        shard.write_bytes(content)
        self.refuse("is damaged", HETMOE, "export", run, "--out", "out")
        self.assertFalse((self.folder / "out").exists())


class Tokenizers(ExchangeCase):
    TEXTS = ("Ocean, n. [F. océan]", "  two  spaces and\n\na line\tand a tab ", "naïve 中文 \U0001f600 text", "a")

    def check(self, run, model, name):
        folder, found = self.export(run)
        self.assertEqual(found["tokenizer_note"], "")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        for text in self.TEXTS:
            ours, _, _ = self.generated(run, text)
            with self.subTest(name, text=text):
                self.assertEqual(tokenizer(text)["input_ids"], ours)
                self.assertEqual(tokenizer.decode(ours, skip_special_tokens=True), text)
        return folder, tokenizer

    def test_of_bytes(self):
        _, tokenizer = self.check(self.trained(), None, "bytes")
        self.assertEqual((len(tokenizer), tokenizer.eos_token_id), (BYTES, 256))

    def test_of_a_sentencepiece_model_that_was_trained_here(self):
        run = self.trained(data="pieces", vocab_size=900)
        folder, tokenizer = self.check(run, None, "pieces")
        self.assertEqual((folder / "tokenizer.model").read_bytes(),
                         (self.data / "pieces" / "tokenizer.model").read_bytes())
        self.assertEqual((len(tokenizer), tokenizer.eos_token_id), (900, 2))

    def test_answer_a_prompt_end_to_end(self):
        run = self.trained(data="pieces", vocab_size=900)
        folder, _ = self.export(run)
        tokenizer, model = transformers.AutoTokenizer.from_pretrained(folder), self.load(folder)
        prompt = "The ocean is"
        inputs = tokenizer(prompt, return_tensors="pt")
        answer = model.generate(**inputs, max_new_tokens=12, do_sample=False, pad_token_id=0)
        ours = json.loads(self.succeed(HETMOE, "generate", run, "--prompt", prompt, "--temperature", "0",
                                       "--max-tokens", "12", "--json", *FP32))
        self.assertEqual(tokenizer.decode(answer[0], skip_special_tokens=True), prompt + ours["text"])

    def test_none_of_random_tokens(self):
        run = self.trained("data.train=random")
        _, found = self.export(run)
        self.assertEqual(found["tokenizer_files"], [])
        self.assertIn("random", found["tokenizer_note"])


if __name__ == "__main__":
    unittest.main()
