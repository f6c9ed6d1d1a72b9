"""A tokenizer.json in `hetmoe data prepare`, `data inspect`, `generate` and `evaluate`. The ids are worked out here."""

import json
import os
import pathlib
import struct
import unittest

from command_line import CONFIGURATION, HETMOE, PROJECT, CommandLineCase

SAVE = pathlib.Path(os.environ.get("HETMOE_SAVE_CHECKPOINT", PROJECT / "build" / "save_checkpoint_fixture"))
# Bytes as letters of their own: those that print stand for themselves, the others for what comes after U+00FF.
PRINTING = [*range(33, 127), *range(161, 173), *range(174, 256)]
OTHERS = [byte for byte in range(256) if byte not in PRINTING]
LETTERS = [chr(byte) if byte in PRINTING else chr(256 + OTHERS.index(byte)) for byte in range(256)]
WO, WOR, WORD, END = 256, 257, 258, 259


def tokenizer_json(end="<|endoftext|>"):
    """256 bytes; w+o, wo+r, wor+d; the end of a text."""
    vocabulary = {letter: number for number, letter in enumerate(LETTERS)} | {"wo": WO, "wor": WOR, "word": WORD}
    return {"version": "1.0", "truncation": None, "padding": None, "normalizer": None,
            "added_tokens": [{"id": END, "content": end, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocabulary, "merges": [["w", "o"], ["wo", "r"], ["wor", "d"]]}}


def ids(text):
    """By hand: "word" is one token wherever it stands, everything else in these texts is bytes."""
    found = []
    for number, part in enumerate(text.split("word")):
        found += ([WORD] if number else []) + list(part.encode())
    return found


class Tokenizers(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.write("given/tokenizer.json", json.dumps(tokenizer_json()))
        self.documents = [f"word{number} caf\u00e9 \u2014 {number % 7}" for number in range(60)]
        self.write("text.txt", "\n\n".join(self.documents))

    def prepare(self, *options, tokenizer="given"):
        return self.run_command(HETMOE, "data", "prepare", "text.txt", "--out", "data", "--tokenizer", tokenizer,
                                "--document-separator", "blank-line", *options)

    def refused(self, code, words, *options, tokenizer="given"):
        found, out, err = self.prepare(*options, tokenizer=tokenizer)
        self.assertEqual((found, out), (code, ""), err)
        lines = [line for line in err.splitlines() if not line.startswith("encoding")]
        self.assertEqual(len(lines), 1, err)
        self.assertIn(words, lines[0])
        self.assertFalse((self.folder / "data").exists())

    def save(self):
        text = CONFIGURATION.replace("{train: random}", "{train: data/train, valid: data/valid}")
        self.write("model.yaml", text.replace("vocab_size: 256", "vocab_size: 260"))
        self.assertEqual(self.run_command(SAVE, "model.yaml", "run", 1, 1)[0::2], (0, ""))

    def test_shards_hold_its_ids_and_lie_beside_it(self):
        self.assertEqual(self.prepare("--valid-fraction", "0")[0], 0)
        expected = sum((ids(document) + [END] for document in self.documents), [])
        tokens = (self.folder / "data/train.bin").read_bytes()
        self.assertEqual(list(struct.unpack(f"<{len(tokens) // 2}H", tokens)), expected)
        self.assertEqual(sorted(path.name for path in (self.folder / "data").iterdir()),
                         ["tokenizer.json", "train.bin", "train.idx", "train.json"])
        sidecar = self.read_json("data/train.json")
        self.assertEqual([sidecar[key] for key in ("tokenizer", "vocab_size", "end_of_document")], ["huggingface", 260, END])
        code, out, err = self.run_command(HETMOE, "data", "inspect", "data/train", "--json")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("word", [entry["text"] for entry in json.loads(out)["most_frequent"]])

    def test_text_is_generated_and_scored_with_it(self):
        self.assertEqual(self.prepare("--valid-fraction", "0.3")[0], 0)
        self.save()
        code, out, err = self.run_command(HETMOE, "generate", "run", "--prompt", "words", "--max-tokens", "5", "--json")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(json.loads(out)["prompt_tokens"], [WORD, ord("s")])
        code, out, err = self.run_command(HETMOE, "evaluate", "run", "--data", "data/valid", "--json")
        self.assertEqual((code, err), (0, ""))
        self.assertGreater(json.loads(out)["bits_per_byte"], 0)
        self.write("data/tokenizer.json", json.dumps(tokenizer_json(), indent=1))
        code, out, err = self.run_command(HETMOE, "generate", "run", "--prompt", "words")
        self.assertEqual((code, out, len(err.splitlines())), (3, "", 1), err)
        self.assertIn("data/tokenizer.json: the tokenizer has digest xxh3-128:", err)

    def test_another_end_of_documents_goes_with_the_shards(self):
        self.write("given/tokenizer.json", json.dumps(tokenizer_json(end="<stop>")))
        self.refused(3, "no token ends documents")
        self.refused(3, '"<end>", which is not in the vocabulary', "--end-of-document", "<end>")
        self.refused(2, "end of document is 'x', allowed with a tokenizer.json only", "--end-of-document", "x",
                     tokenizer="bytes")
        self.assertEqual(self.prepare("--end-of-document", "<stop>")[0], 0)
        self.assertEqual(self.read_json("data/tokenizer_config.json"), {"eos_token": "<stop>"})
        self.save()
        code, out, err = self.run_command(HETMOE, "generate", "run", "--prompt", "word", "--max-tokens", "2", "--json")
        self.assertEqual((code, err, json.loads(out)["prompt_tokens"]), (0, "", [WORD]))
        self.write("data/tokenizer_config.json", '{"eos_token": "word"}')
        code, out, err = self.run_command(HETMOE, "generate", "run", "--prompt", "word")
        self.assertEqual((code, out, len(err.splitlines())), (3, "", 1), err)
        self.assertIn(f"documents end with token {WORD}, those of data/train with {END}", err)

    def test_what_cannot_be_is_said_in_one_line(self):
        self.refused(2, "tokenizer is 'none', must be 'bytes' or the path of", tokenizer="none")
        self.write("bad.json", '{"model": 1}')
        self.refused(3, "not a tokenizer.json that tokenizers ", tokenizer="bad.json")
        self.environment["HETMOE_PYTHON"] = "/no/such/python"
        self.refused(3, "no Python at '/no/such/python' to read a tokenizer.json with: install python3")
        del self.environment["HETMOE_PYTHON"]
        self.environment["HETMOE_PYTHON_PACKAGES"] = "/no/such/folder"
        self.refused(3, "the Python package tokenizers is not usable in '/no/such/folder'")
        del self.environment["HETMOE_PYTHON_PACKAGES"]
        (self.folder / "text.txt").write_bytes(b"good\n\nword caf\xe9\n")
        self.refused(3, "text.txt: at byte 14: not UTF-8, which this tokenizer needs")


if __name__ == "__main__":
    unittest.main()
