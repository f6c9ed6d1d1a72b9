"""Token shards of every format, and several of them mixed by weight, through the commands that read them."""

import array
import json
import pathlib
import struct
import unittest

from command_line import HETMOE, CommandLineCase

VOCABULARY = 257


def llm_c(tokens):
    return struct.pack("<3i", 20240520, 1, len(tokens)).ljust(1024, b"\0") + tokens.tobytes()


class MixtureCase(CommandLineCase):
    """Two texts of bytes, prepared each for itself."""

    def setUp(self):
        super().setUp()
        self.prepare("words", "\n\n".join(" ".join(f"word{(number * line) % 97}" for number in range(50))
                                          for line in range(120)))
        self.prepare("digits", "\n\n".join(str(number * number) for number in range(3000)))

    def prepare(self, name, text):
        self.write(f"{name}.txt", text)
        code, _, err = self.run_command(HETMOE, "data", "prepare", f"{name}.txt", "--out", name, "--tokenizer", "bytes",
                                        "--document-separator", "blank-line", "--valid-fraction", "0")
        self.assertEqual(code, 0, err)

    def tokens_of(self, name):
        tokens = array.array("H")
        tokens.frombytes((self.folder / name / "train.bin").read_bytes())
        return tokens

    def run_with(self, run, *settings, ranks=0, steps=8):
        settings = (f"train.steps={steps}", "train.learning_rate=0.01", "model.initializer_range=0.1",
                    f"model.vocab_size={VOCABULARY}", "train.global_batch=6", *settings)
        arguments = [word for setting in settings for word in ("--set", setting)]
        return self.train("small.yaml", "--run-dir", run, *arguments, ranks=ranks)

    def losses(self, *settings, ranks=0, steps=8, run=""):
        run = run or f"run{len(list(self.folder.glob('run*')))}"
        code, _, err = self.run_with(run, *settings, ranks=ranks, steps=steps)
        self.assertEqual(code, 0, err)
        return [line["loss"] for line in self.read_lines(f"{run}/metrics.jsonl")]


MIXTURE = ("data.train=", "data.mixture=[words/train, digits/train]", "data.mixture_weights=[0.7, 0.3]")


class Formats(MixtureCase):
    def setUp(self):
        super().setUp()
        tokens = self.tokens_of("words")
        (self.folder / "llm").write_bytes(llm_c(tokens))
        (self.folder / "nano").write_bytes(tokens.tobytes())
        for part, begin in enumerate(range(0, len(tokens), 10007)):
            (self.folder / f"part_{part:02}.bin").write_bytes(llm_c(tokens[begin:begin + 10007]))

    def test_the_same_tokens_give_the_same_losses_in_every_format(self):
        expected = self.losses("data.train=words/train")
        self.assertEqual(len(expected), 8)
        for name in ("llm", "nano", "part_*.bin", "words/train.idx"):
            with self.subTest(name):
                self.assertEqual(self.losses(f"data.train={name}"), expected)

    def test_evaluate_and_generate_take_them(self):
        self.losses("data.train=words/train.bin", run="trained", steps=2)
        found = []
        for name in ("words/train", "llm", "nano", "part_*.bin"):
            code, out, err = self.run_command(HETMOE, "evaluate", "trained", "--data", name, "--max-tokens", "0", "--json")
            self.assertEqual(code, 0, err)
            found.append(json.loads(out))
        self.assertIn("bits_per_byte", found[0])
        for other in found[1:]:
            self.assertEqual((other["loss"], other["tokens"]), (found[0]["loss"], found[0]["tokens"]))
        code, _, err = self.run_command(HETMOE, "generate", "trained", "--prompt", "word", "--max-tokens", "2", "--json")
        self.assertEqual(code, 0, err)

    def test_inspect_names_the_format(self):
        described = {}
        for name in ("words/train", "llm", "nano", "part_*.bin"):
            code, out, err = self.run_command(HETMOE, "data", "inspect", name, "--json")
            self.assertEqual(code, 0, err)
            described[name] = json.loads(out)
        self.assertEqual([entry["format"] for entry in described.values()],
                         ["Megatron", "llm.c version 1", "nanoGPT", "llm.c version 1"])
        self.assertEqual(len({entry["tokens"] for entry in described.values()}), 1)
        self.assertEqual(len({entry["unigram_entropy_nats"] for entry in described.values()}), 1)
        parts = len(list(self.folder.glob("part_*.bin")))
        self.assertGreater(parts, 2)
        self.assertEqual(described["part_*.bin"]["files"], parts)

    def test_what_is_no_shard_is_refused_in_one_line(self):
        (self.folder / "questions").write_bytes(struct.pack("<3i", 20240522, 1, 0).ljust(1024, b"\0"))
        for name, text in (("words.txt", "words.txt: text (hetmoe data prepare makes tokens of it)"),
                           ("questions", "multiple-choice questions of llm.c"), ("none_*.bin", "no token shards match"),
                           ("words", "'words' is a folder")):
            with self.subTest(name):
                code, _, err = self.run_with("refused", f"data.train={name}")
                self.assertEqual((code, len(err.splitlines())), (3, 1), err)
                self.assertIn(text, err)


class Mixed(MixtureCase):
    def assert_same(self, first, second):
        self.assertEqual(len(first), len(second))
        for one, other in zip(first, second):
            self.assertAlmostEqual(one, other, delta=1e-5 * one)

    def test_ranks_and_microbatches_do_not_change_the_losses(self):
        one = self.losses(*MIXTURE)
        self.assert_same(self.losses(*MIXTURE, ranks=2), one)
        self.assert_same(self.losses(*MIXTURE, "model.router.parameter_penalty=0", "train.microbatches=3", ranks=2),
                         self.losses(*MIXTURE, "model.router.parameter_penalty=0"))
        for alone in ("words", "digits"):
            self.assertNotEqual(self.losses(f"data.train={alone}/train"), one)

    def test_a_resumed_run_goes_on_with_the_same_sequences(self):
        straight = self.losses(*MIXTURE, steps=9)
        self.losses(*MIXTURE, steps=4, run="resumed")
        self.assertEqual(self.losses(*MIXTURE, steps=9, run="resumed"), straight)

    def test_the_header_tells_what_is_taken_of_each_source(self):
        code, out, _ = self.run_with("told", *MIXTURE, "train.global_batch=10", ranks=2)
        self.assertEqual(code, 0)
        self.assertIn("  data              a mixture of 2 sources\n", out)
        for name, share, sequences in (("words", "70.0 %", 56), ("digits", "30.0 %", 24)):
            held = len(self.tokens_of(name))
            epochs = sequences / ((held - 1) // 16)
            self.assertRegex(out, rf" {share}  {name}/train \(Megatron uint16, .* tokens, {epochs:.2f} epochs: "
                                  rf"{sequences * 16} tokens\)\n")

    def test_a_mixture_is_data_that_a_resumed_run_must_keep(self):
        self.losses(*MIXTURE, steps=2, run="kept")
        code, _, err = self.run_with("kept", *MIXTURE[:2], "data.mixture_weights=[0.6, 0.4]", steps=3)
        self.assertEqual(code, 2)
        self.assertIn("data.mixture_weights: [0.7, 0.3] in the checkpoint, [0.6, 0.4] here", err)
        code, _, err = self.run_with("kept", "data.train=", "data.mixture=[digits/train, words/train]", MIXTURE[2], steps=3)
        self.assertEqual(code, 2)
        self.assertIn('data.mixture: ["words/train", "digits/train"] in the checkpoint, ', err)

    def test_sources_of_different_tokenizers_are_refused_by_name(self):
        path = pathlib.Path(self.folder / "digits/train.json")
        sidecar = json.loads(path.read_text())
        path.write_text(json.dumps(dict(sidecar, tokenizer_digest="xxh3-128:00")))
        code, _, err = self.run_with("refused", *MIXTURE, ranks=2)
        self.assertEqual(code, 2)
        ours = [line for line in err.splitlines() if line.startswith("hetmoe: ")]
        self.assertEqual(len(ours), 1, err)
        self.assertIn("digits/train holds tokens of the tokenizer xxh3-128:00 (bytes, vocabulary of 257)", ours[0])


if __name__ == "__main__":
    unittest.main()
