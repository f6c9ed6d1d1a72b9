"""`hetmoe evaluate` and `hetmoe generate`: documents, text and refusals, alone and on several ranks."""

import json
import math
import os
import pathlib
import subprocess
import unittest

from command_line import CONFIGURATION, ENVIRONMENT, HETMOE, PROJECT, CommandLineCase, mpirun

SAVE = pathlib.Path(os.environ.get("HETMOE_SAVE_CHECKPOINT", PROJECT / "build" / "save_checkpoint_fixture"))
# Logits that differ: with the default deviation every token would be about as likely as any other.
MODEL = CONFIGURATION.replace("num_layers: 2", "initializer_range: 0.3, num_layers: 2")


class Used(CommandLineCase):
    """A checkpoint of three files, saved by a run in groups of three; text as bytes and as pieces."""

    def setUp(self):
        super().setUp()
        words = " ".join(f"word{number % 97} of {number % 13}" for number in range(3000))
        self.write("text.txt", "\n\n".join(words[start:start + 100] for start in range(0, len(words), 100)))
        self.prepare("bytes", "--tokenizer", "bytes")

    def good(self, *command):
        code, out, err = self.run_command(*command)
        self.assertEqual((code, err), (0, ""))
        return out

    def prepare(self, folder, *options):
        self.run_command(HETMOE, "data", "prepare", "text.txt", "--out", folder, "--document-separator", "blank-line",
                         "--valid-fraction", "0.2", *options)

    def save(self, step=7, data="bytes", vocabulary=257, run="run"):
        text = MODEL.replace("{train: random}", f"{{train: {data}/train, valid: {data}/valid}}")
        text = text.replace("vocab_size: 256", f"vocab_size: {vocabulary}")
        text = text.replace("threads: 1", "threads: 1, expert_group_size: 3")
        self.write("model.yaml", text.replace("{every_steps: 0}", "{every_steps: 1, tokens: 100}"))
        self.good(SAVE, "model.yaml", run, step, 3)

    def hetmoe(self, *arguments, ranks=0):
        command = [HETMOE, *arguments]
        return self.good(*(mpirun(ranks, *command) if ranks else command))

    def document(self, *arguments, ranks=0):
        return json.loads(self.hetmoe(*arguments, "--json", ranks=ranks))

    def test_held_out_loss_on_any_number_of_ranks(self):
        self.save()
        one = self.document("evaluate", "run", "--data", "bytes/valid")
        self.assertEqual((one["step"], one["tokens"]), (7, 112))  # 100 tokens in windows of 16
        self.assertEqual(one["checkpoint"], "run/checkpoints/step-00000007")
        self.assertGreater(one["loss"], 4)
        self.assertAlmostEqual(one["bits_per_byte"], one["loss"] / math.log(2), delta=0.1)  # a byte is a token
        for ranks in (2, 3):
            several = self.document("evaluate", "run", "--data", "bytes/valid", ranks=ranks)
            self.assertEqual(several["tokens"], one["tokens"])
            self.assertAlmostEqual(several["loss"], one["loss"], delta=1e-5 * one["loss"])
        whole = self.document("evaluate", one["checkpoint"], "--data", "bytes/valid", "--max-tokens", "0")
        self.assertGreater(whole["tokens"], 1000)

    def test_sequences_add_up_and_are_the_windows_of_a_shard(self):
        self.save()
        lists = [[116, 111, 32], [119, 111], list(range(40))]
        for ranks in (0, 2):
            found = self.document("evaluate", "run", "--tokens", json.dumps(lists), ranks=ranks)
            self.assertEqual([sequence["tokens"] for sequence in found["sequences"]], [2, 1, 39])
            self.assertEqual(found["tokens"], 42)
            total = sum(sequence["loss_sum"] for sequence in found["sequences"])
            self.assertAlmostEqual(found["loss"], total / 42, delta=1e-9)
        window = list((self.folder / "bytes/valid.bin").read_bytes()[0:34:2])  # ids below 256 in two bytes
        self.assertAlmostEqual(self.document("evaluate", "run", "--tokens", json.dumps([window]))["loss"],
                               self.document("evaluate", "run", "--data", "bytes/valid", "--max-tokens", "16")["loss"],
                               delta=1e-6)

    def test_text_repeats_with_its_seed_on_any_number_of_ranks(self):
        self.save()
        found = {}
        for seed, ranks in ((1, 0), (1, 1), (1, 3), (2, 0)):
            found[seed, ranks] = self.document("generate", "run", "--prompt", "word", "--seed", seed, "--max-tokens",
                                               "20", ranks=ranks)
        self.assertEqual(found[1, 1], found[1, 0])
        self.assertEqual(found[1, 3], found[1, 0])
        self.assertNotEqual(found[1, 0]["tokens"], found[2, 0]["tokens"])
        first = found[1, 0]
        self.assertEqual((first["prompt"], first["prompt_tokens"]), ("word", list(b"word")))
        self.assertTrue(len(first["tokens"]) == 20 or first["ended"])
        text = first["text"].replace("\N{REPLACEMENT CHARACTER}", "")
        self.assertEqual(text, bytes(first["tokens"]).decode(errors="ignore"))

    def test_people_get_the_text(self):
        self.save()
        options = ["generate", "run", "--prompt", "word", "--temperature", "0", "--max-tokens", "5"]
        texts = []
        for prefix in ([], mpirun(2)):  # bytes, for they need not be UTF-8
            done = subprocess.run([*prefix, HETMOE, *options], cwd=self.folder, env=ENVIRONMENT, capture_output=True,
                                  timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            texts.append(done.stdout)
        self.assertTrue(texts[0].startswith(b"word") and texts[0].endswith(b"\n"), texts[0])
        self.assertEqual(texts[0], texts[1])

    def test_a_streamed_text_is_the_same(self):
        self.save()
        for seed in (1, 2, 3):
            options = [HETMOE, "generate", "run", "--prompt", "wörd", "--seed", str(seed), "--max-tokens", "60"]
            texts = []
            for prefix, how in (([], "--no-stream"), ([], "--stream"), (mpirun(2), "--stream")):
                done = subprocess.run([*prefix, *options, how], cwd=self.folder, env=ENVIRONMENT, capture_output=True,
                                      timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                texts.append(done.stdout)
            self.assertTrue(texts[0].startswith("wörd".encode()))
            self.assertEqual(texts[1:], [texts[0]] * 2)

    def test_a_streamed_text_is_there_before_it_is_whole(self):
        self.save()
        command = [HETMOE, "generate", "run", "--prompt", "word", "--max-tokens", "60000", "--stream"]
        with subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
            begin = os.read(process.stdout.fileno(), 4)
            running = process.poll() is None
            process.kill()
        self.assertEqual((begin, running), (b"word", True))

    def test_prompts_from_files(self):
        self.save()
        self.write("prompt.txt", "word\n")
        options = ["--max-tokens", "8", "--json"]
        given = json.loads(self.hetmoe("generate", "run", "--prompt", "word", *options))
        for ranks in (0, 2):
            self.assertEqual(json.loads(self.hetmoe("generate", "run", "--prompt-file", "prompt.txt", *options,
                                                    ranks=ranks)), given)
            command = [HETMOE, "generate", "run", "--prompt-file", "-", *options]
            done = subprocess.run(mpirun(ranks, *command) if ranks else command, cwd=self.folder, env=ENVIRONMENT,
                                  capture_output=True, input=b"word", timeout=60)
            self.assertEqual((done.returncode, done.stderr, json.loads(done.stdout)), (0, b"", given))

    def test_drawing_from_few_tokens(self):
        self.save()

        def tokens(*options, ranks=0):
            return self.document("generate", "run", "--prompt", "word", "--max-tokens", "20", *options,
                                 ranks=ranks)["tokens"]

        likeliest = tokens("--temperature", "0")
        self.assertEqual(tokens("--top-k", "1", "--temperature", "3"), likeliest)
        self.assertEqual(tokens("--top-p", "1e-9", "--temperature", "3", ranks=2), likeliest)
        self.assertNotEqual(tokens("--top-k", "50"), tokens("--top-k", "2"))
        some = self.document("generate", "run", "--prompt", "word", "--top-k", "5", "--top-p", "0.5", "--max-tokens", "1")
        self.assertEqual((some["top_k"], some["top_p"]), (5, 0.5))

    def test_the_newest_checkpoint_counts_and_pieces_are_known_by_their_digest(self):
        self.prepare("pieces", "--train-vocabulary", "300")
        self.save(step=7)
        self.save(step=9, data="pieces", vocabulary=310)
        for ranks in (0, 2):
            found = self.document("generate", "run", "--prompt", "word5 of", "--max-tokens", "10", ranks=ranks)
            self.assertEqual(found["step"], 9)
            self.assertLess(max(found["prompt_tokens"] + found["tokens"]), 300)
            self.assertLess(len(found["prompt_tokens"]), len("word5 of"))
        (self.folder / "pieces/tokenizer.model").write_bytes((self.folder / "bytes/train.bin").read_bytes())
        code, out, err = self.run_command(HETMOE, "generate", "run", "--prompt", "word")
        self.assertEqual((code, out, len(err.splitlines())), (3, "", 1), err)

    def test_ids_beyond_the_vocabulary(self):
        self.save()
        for ranks in (0, 2):
            command = [HETMOE, "evaluate", "run", "--tokens", "[[1, 2], [3, 257]]"]
            code, out, err = self.run_command(*(mpirun(ranks, *command) if ranks else command))
            self.assertEqual((code, out), (2, ""))
            self.assertEqual([line for line in err.splitlines() if line.startswith("hetmoe")],
                             ["hetmoe: sequence 1: token 257, allowed: 0 to 256 (model.vocab_size 257)"])

    def test_settings_are_for_the_ranks_only(self):
        self.save()
        command = [HETMOE, "evaluate", "run", "--tokens", "[[1, 2]]", "--set"]
        self.good(*command, "parallel.threads=2")
        code, out, err = self.run_command(*command, "model.router.top_k=1")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("allowed: keys of parallel", err)
        code, out, err = self.run_command(*mpirun(2, *command, "parallel.expert_group_size=3"))
        self.assertEqual((code, out), (2, ""))
        self.assertIn("divisor of the 2 ranks", err)


class Refused(CommandLineCase):
    """One line that names the thing, the contract's code, nothing on standard output."""

    def refused(self, code, text, *arguments, ranks=0):
        command = [HETMOE, *arguments]
        got, out, err = self.run_command(*(mpirun(ranks, *command) if ranks else command))
        lines = [line for line in err.splitlines() if line.startswith("hetmoe: ")]
        self.assertEqual((got, out, len(lines)), (code, "", 1), err)
        self.assertIn(text, lines[0])

    def test_a_path_without_a_checkpoint(self):
        (self.folder / "run").mkdir()
        for path in ("missing", "run", "small.yaml"):
            self.refused(3, path, "evaluate", path, "--tokens", "[[1, 2]]")
            self.refused(3, path, "generate", path, "--prompt", "A")
        self.refused(3, "run", "evaluate", "run", "--data", "valid", ranks=2)
        self.refused(3, "run", "generate", "run", "--prompt", "A", ranks=2)

    def test_an_empty_prompt(self):
        for ranks in (0, 2):
            self.refused(2, "--prompt: empty", "generate", "run", "--prompt", "", ranks=ranks)
            self.write("empty.txt", "\n")
            self.refused(2, "--prompt-file empty.txt: empty", "generate", "run", "--prompt-file", "empty.txt",
                         ranks=ranks)
        self.refused(3, "missing.txt", "generate", "run", "--prompt-file", "missing.txt")

    def test_tokens_that_are_no_lists_of_ids(self):
        for tokens in ("", "[[1, 2]", "{}", "[]", "5", "[1, 2]", "[[1, -2]]", "[[1, 2.5]]", '[["a"]]', "[[1, null]]",
                       "[[1, 4294967296]]", "[[1, 99999999999999999999]]", "[" * 5000):
            with self.subTest(tokens[:20]):
                self.refused(2, "--tokens: ", "evaluate", "run", "--tokens", tokens)
        self.refused(2, "--tokens: sequence 1: token 2.5", "evaluate", "run", "--tokens", "[[1, 2], [2.5]]", ranks=2)

    def test_options_that_do_not_go_together(self):
        tokens = ["--tokens", "[[1, 2]]"]
        self.refused(2, "--data, --tokens or --task", "evaluate", "run")
        self.refused(2, "--data", "evaluate", "run", "--data", "valid", *tokens)
        self.refused(2, "--max-tokens", "evaluate", "run", *tokens, "--max-tokens", "5")
        self.refused(2, "--prompt", "generate", "run")
        for option, value in (("--temperature", "-1"), ("--max-tokens", "-1"), ("--max-tokens", "65537"),
                              ("--seed", "x"), ("--top-k", "-1"), ("--top-p", "0"), ("--top-p", "1.5"),
                              ("--prompt-file", "small.yaml")):
            self.refused(2, option, "generate", "run", "--prompt", "A", option, value)
        self.refused(2, "--stream", "generate", "run", "--prompt", "A", "--stream", "--json")
        self.refused(2, "--no-stream", "generate", "run", "--prompt", "A", "--stream", "--no-stream")


if __name__ == "__main__":
    unittest.main()
