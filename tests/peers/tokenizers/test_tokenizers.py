"""Our tokenizers give the ids and the text of the Python packages `tokenizers` and `sentencepiece`.

Environment: HETMOE_TOKENIZE is the program that hands out ours (tokenize.cpp), HETMOE the one that users run,
HETMOE_HUGGINGFACE_TOKENIZER the child that reads a tokenizer.json.
"""
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import tokenizers

import awkward_text
import trained

TOKENIZE = os.environ["HETMOE_TOKENIZE"]
HETMOE = os.environ["HETMOE"]
CHILD = os.environ["HETMOE_HUGGINGFACE_TOKENIZER"]
HAS_SENTENCEPIECE = importlib.util.find_spec("sentencepiece") is not None


# What packages ship: tests/peers/vocabularies.txt.
VOCABULARIES = pathlib.Path(os.environ.get("HETMOE_VOCABULARIES", "none"))
REAL_JSON = sorted(VOCABULARIES.glob("anthropic/tokenizer.json"))
REAL_MODELS = sorted(VOCABULARIES.glob("mistral_common/data/*.model*"))


def ours(tokenizer, texts, **options):
    """(what the tokenizer is, [ids], [bytes of their text])"""
    lines = "".join(text.hex() + "\n" for text in texts)
    done = subprocess.run([TOKENIZE, tokenizer], input=lines, capture_output=True, text=True, check=False, timeout=300,
                          **options)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    description, *results = map(json.loads, done.stdout.splitlines())
    return description, [one["ids"] for one in results], [bytes.fromhex(one["text"]) for one in results]


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="hetmoe-tokenizers-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.make()

    @classmethod
    def make(cls):
        pass

    def compare(self, file, encode, decode, texts):
        names, values = zip(*texts)
        description, all_ids, all_texts = ours(file, [value.encode() for value in values])
        self.assertEqual(len(all_ids), len(values))
        for name, value, ids, text in zip(names, values, all_ids, all_texts):
            expected = encode(value)
            if ids != expected:  # a megabyte of ids tells nobody anything
                place = next((i for i, pair in enumerate(zip(ids, expected)) if pair[0] != pair[1]), "the end")
                self.fail(f"{file}, {name}: {len(ids)} ids, expected {len(expected)}, first difference at {place}")
            self.assertTrue(text == decode(expected).encode(), f"{file}, {name}: text differs")
        return description

    def compare_json(self, file, texts=None):
        theirs = tokenizers.Tokenizer.from_file(str(file))
        theirs.no_truncation()
        theirs.no_padding()
        description = self.compare(file, lambda text: theirs.encode(text, add_special_tokens=False).ids, theirs.decode,
                                   texts or list(awkward_text.texts()))
        self.assertEqual(description["name"], "huggingface")
        self.assertEqual(description["vocab_size"], max(theirs.get_vocab().values()) + 1)
        return theirs, description

    def compare_model(self, file, texts=None):
        import sentencepiece
        theirs = sentencepiece.SentencePieceProcessor(model_file=str(file))
        description = self.compare(file, theirs.encode, theirs.decode, texts or list(awkward_text.texts()))
        self.assertEqual(description, {"name": "sentencepiece", "vocab_size": theirs.get_piece_size(),
                                       "end_of_document": theirs.eos_id(), "keeps_every_byte": False})


class ByteLevel(Case):
    @classmethod
    def make(cls):
        trained.byte_level(cls.folder, 2000)
        trained.respell_merges(cls.folder / "gpt2.json", cls.folder / "other.json")

    def test_as_the_python_package(self):
        theirs, description = self.compare_json(self.folder / "gpt2.json")
        self.assertEqual(description["end_of_document"], theirs.token_to_id("<|endoftext|>"))
        self.assertEqual(description["vocab_size"], 2000)

    def test_merges_are_spelled_either_way(self):
        files = [json.loads((self.folder / name).read_text()) for name in ("gpt2.json", "other.json")]
        self.assertEqual({type(file["model"]["merges"][0]) for file in files}, {str, list})
        self.compare_json(self.folder / "other.json")
        text = trained.english()[:20000].encode()
        self.assertEqual(ours(self.folder / "gpt2.json", [text])[1], ours(self.folder / "other.json", [text])[1])

    def test_running_text(self):
        text = trained.english()
        self.compare_json(self.folder / "gpt2.json", [("dictionary", text)] +
                          [(f"line {number}", line) for number, line in enumerate(text.split("\n")[:2000])])

    def test_any_number_of_threads_gives_the_same(self):
        texts = [line.encode() for line in trained.english().split("\n")[:3000]]
        results = [ours(self.folder / "gpt2.json", texts, env=dict(os.environ, RAYON_NUM_THREADS=threads))
                   for threads in "1 2 7".split()]
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])

    def test_what_is_not_utf8_is_refused(self):
        for text in awkward_text.NOT_UTF8:
            with self.assertRaisesRegex(AssertionError, "text 1 is not UTF-8 at byte [13]"):
                ours(self.folder / "gpt2.json", [b"good", text])

    def test_prepared_shards_hold_the_same_ids(self):
        documents = [part.strip() for part in re.split(r"\n\s*\n", trained.english()[:200_000]) if part.strip()]
        (self.folder / "text").write_bytes("\n\n".join(documents).encode())
        subprocess.run([HETMOE, "data", "prepare", "text", "--out", "data", "--tokenizer", "gpt2.json",
                        "--valid-fraction", "0", "--document-separator", "blank-line"], cwd=self.folder, check=True,
                       capture_output=True)
        theirs = tokenizers.Tokenizer.from_file(str(self.folder / "data/tokenizer.json"))
        end = theirs.token_to_id("<|endoftext|>")
        expected = [theirs.encode(document, add_special_tokens=False).ids + [end] for document in documents]
        index = (self.folder / "data/train.idx").read_bytes()
        count = struct.unpack_from("<Q", index, 18)[0]
        self.assertEqual(struct.unpack_from(f"<{count}i", index, 34), tuple(map(len, expected)))
        tokens = (self.folder / "data/train.bin").read_bytes()
        self.assertEqual(struct.unpack(f"<{len(tokens) // 2}H", tokens), tuple(sum(expected, [])))


@unittest.skipUnless(HAS_SENTENCEPIECE, "the package sentencepiece is not installed (tests/peers/requirements.txt)")
class ByteFallback(Case):
    @classmethod
    def make(cls):
        trained.make(cls.folder)

    def test_as_the_python_packages(self):
        for name in ("llama", "llama-other", "metaspace", "metaspace-other"):
            with self.subTest(name):
                theirs, description = self.compare_json(self.folder / f"{name}.json")
                self.assertEqual(description["end_of_document"], theirs.token_to_id("</s>"))
        self.compare_model(self.folder / "llama.model")

    def test_running_text(self):
        texts = [("dictionary", trained.english())]
        self.compare_json(self.folder / "llama.json", texts)
        self.compare_model(self.folder / "llama.model", texts)

    def test_the_tokenizer_json_is_of_the_models_kind(self):
        """Else the comparison with `tokenizers` would be with something that LLaMA-2's is not."""
        texts = [line.encode() for line in trained.english().split("\n")[:2000] if line]
        self.assertEqual(ours(self.folder / "llama.json", texts)[1], ours(self.folder / "llama.model", texts)[1])

    def test_our_own_vocabulary_as_the_python_package(self):
        """Bytes that are kept: what is UTF-8 and free of SentencePiece's own signs is encoded as ever."""
        (self.folder / "text").write_text(trained.english())
        subprocess.run([HETMOE, "data", "prepare", "text", "--out", "own", "--train-vocabulary", "2000",
                        "--document-separator", "blank-line"], cwd=self.folder, check=True, capture_output=True)
        import sentencepiece
        theirs = sentencepiece.SentencePieceProcessor(model_file=str(self.folder / "own/tokenizer.model"))
        texts = [(name, text) for name, text in awkward_text.texts() if trained.SPACE not in text]
        self.assertGreater(len(texts), 80)
        description = self.compare(self.folder / "own/tokenizer.model", theirs.encode, theirs.decode, texts)
        self.assertTrue(description["keeps_every_byte"])


class RealVocabularies(Case):
    @unittest.skipUnless(REAL_JSON, "no tokenizer.json: tests/peers/vocabularies.txt is not installed")
    def test_tokenizer_json(self):
        for file in REAL_JSON:
            with self.subTest(file):
                target = self.folder / file.parent.name
                target.mkdir()
                (target / "tokenizer.json").write_bytes(file.read_bytes())
                (target / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<EOT>"}))
                self.compare_json(target / "tokenizer.json")
                self.compare_json(target / "tokenizer.json", [("dictionary", trained.english())])

    @unittest.skipUnless(REAL_MODELS and HAS_SENTENCEPIECE, "no model: tests/peers/vocabularies.txt is not installed")
    def test_sentencepiece_models(self):
        for file in REAL_MODELS:
            with self.subTest(file):
                self.compare_model(file)
                self.compare_model(file, [("dictionary", trained.english())])


PARENT = """
import socket, subprocess, sys, time
ours, theirs = socket.socketpair()
child = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs)
theirs.close()
ours.sendall(b"\\1\\0\\0\\0M")
assert len(ours.recv(14, socket.MSG_WAITALL)) == 14
print(child.pid, flush=True)
time.sleep(600)
"""


class Child(Case):
    @classmethod
    def make(cls):
        trained.byte_level(cls.folder, 400)

    def test_ends_with_its_parent(self):
        parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, "serve", self.folder / "gpt2.json"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        deadline = time.monotonic() + 30
        while pathlib.Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
            if pathlib.Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return  # nobody is left to wait for it
            time.sleep(0.05)
        self.assertFalse(pathlib.Path(f"/proc/{child}").exists())

    def test_refuses_what_is_no_request(self):
        near, far = socket.socketpair()
        with near, subprocess.Popen([CHILD, "serve", self.folder / "gpt2.json"], stdin=far, stdout=far) as child:
            far.close()
            def exchange(request):
                near.sendall(struct.pack("<I", len(request)) + request)
                length = struct.unpack("<I", near.recv(4, socket.MSG_WAITALL))[0]
                return near.recv(length, socket.MSG_WAITALL)
            for request in (b"", b"X", b"m"):
                self.assertEqual(exchange(request), b"-unknown request")
            for request in (b"E", b"E\1\0\0\0", b"E\1\0\0\0\2\0\0\0a", b"E\xff\xff\xff\xff", b"E\2\0\0\0\1\0\0\0a"):
                self.assertEqual(exchange(request), b"-the request is too short", request)
            self.assertEqual(exchange(b"D" + struct.pack("<i", 400)), b"-id 400 is not in the vocabulary")
            self.assertEqual(exchange(b"D" + struct.pack("<i", -1)), b"-id -1 is not in the vocabulary")
            self.assertTrue(exchange(b"Dabc").startswith(b"-"))
            self.assertEqual(exchange(b"M"), b"+" + struct.pack("<iiB", 400, 399, 0))
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(child.wait(30), 0)

    def test_works_where_there_is_no_network(self):
        done = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest("a network of its own takes rights that this user has not")
        alone = subprocess.run(["unshare", "--net", TOKENIZE, self.folder / "gpt2.json"], input=b"6161\n",
                               capture_output=True, check=False)
        self.assertEqual((alone.returncode, alone.stderr), (0, b""))


if __name__ == "__main__":
    unittest.main()
