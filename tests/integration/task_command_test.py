"""`hetmoe evaluate --task`: scores of multiple-choice items against log-likelihoods that `--tokens` gives, and against
rules written in Python."""

import json
import math
import os
import pathlib
import statistics
import unittest

import task_items
from command_line import CONFIGURATION, HETMOE, PROJECT, CommandLineCase, mpirun

SAVE = pathlib.Path(os.environ.get("HETMOE_SAVE_CHECKPOINT", PROJECT / "build" / "save_checkpoint_fixture"))
END_OF_DOCUMENT = 256
# Logits that differ, and a window that holds every item.
MODEL = CONFIGURATION.replace("num_layers: 2", "initializer_range: 0.3, num_layers: 2").replace(
    "vocab_size: 256", "vocab_size: 257").replace("sequence_length: 16", "sequence_length: 400")


class TaskCase(CommandLineCase):
    def setUp(self):
        super().setUp()
        self.write("model.yaml", MODEL)
        self.assertEqual(self.run_command(SAVE, "model.yaml", "run", 7, 2)[0], 0)

    def hetmoe(self, *arguments, ranks=0):
        command = [HETMOE, *arguments]
        code, out, err = self.run_command(*(mpirun(ranks, *command) if ranks else command))
        self.assertEqual((code, err), (0, ""))
        return out

    def evaluate(self, *arguments, ranks=0):
        """The document and the lines of the items."""
        out = self.hetmoe("evaluate", "run", "--tokenizer", "bytes", "--json", "--items", "items.jsonl", *arguments,
                          ranks=ranks)
        return json.loads(out), self.read_lines("items.jsonl")

    def loss_sums(self, sequences):
        """Sums of losses of whole sequences, by another part of the command."""
        sums, begin = [], 0
        while begin < len(sequences):
            # One argument of a command has at most 128 KiB.
            found = json.loads(self.hetmoe("evaluate", "run", "--json", "--tokens",
                                           json.dumps(sequences[begin:begin + 60])))
            sums += [sequence["loss_sum"] for sequence in found["sequences"]]
            begin += 60
        return sums

    def expected_log_likelihoods(self, pairs):
        """Of (context, continuation): what the loss of the context leaves over of both together's."""
        sequences = []
        for context, continuation in pairs:
            begin = list(context.encode()) or [END_OF_DOCUMENT]
            # Of a context of one token there is no loss.
            sequences += [begin + list(continuation.encode()), begin if len(begin) > 1 else begin * 2]
        sums = self.loss_sums(sequences)
        values = []
        for index in range(0, len(sums), 2):
            context = sums[index + 1] if pairs[index // 2][0].encode()[1:] else 0
            values.append(context - sums[index])
        return values

    def check(self, shape, items, found, lines):
        """A task's entry and its items' lines against rules in Python."""
        built = [task_items.prompts(shape, item) for item in items]
        pairs = [task_items.pair(context, text)
                 for contexts, texts, _ in built for context, text in zip(contexts, texts)]
        expected = iter(self.expected_log_likelihoods(pairs))
        hits = {"acc": [], "acc_norm": [], "acc_bytes": []}
        for number, (line, (contexts, texts, answer)) in enumerate(zip(lines, built, strict=True)):
            self.assertEqual((line["line"], line["answer"]), (number + 1, answer))
            values = line["log_likelihoods"]
            self.assertEqual(len(values), len(texts))
            for value, context, text, tokens in zip(values, contexts, texts, line["tokens"], strict=True):
                likelihood = next(expected)
                self.assertAlmostEqual(value, likelihood, delta=2e-4 * max(1, abs(likelihood)))
                self.assertEqual(tokens, len(task_items.pair(context, text)[1].encode()))
            for name, lengths in (("acc", [1] * len(texts)), ("acc_norm", [len(text) for text in texts]),
                                  ("acc_bytes", [len(text.encode()) for text in texts])):
                shares = [value / length if length else -math.inf for value, length in zip(values, lengths)]
                hits[name].append(float(shares.index(max(shares)) == answer))
        self.assertEqual((found["shape"], found["items"], found["truncated"]), (shape, len(items), 0))
        for name, values in hits.items():
            self.assertAlmostEqual(found[name], statistics.mean(values), delta=1e-12)
            error = statistics.stdev(values) / math.sqrt(len(values))
            self.assertAlmostEqual(found[name + "_stderr"], error, delta=1e-12)


class Scored(TaskCase):
    def test_fifty_items_of_two_tasks_on_one_and_two_ranks(self):
        items = {"HellaSwag": task_items.hellaswag(50), "PIQA": task_items.piqa(50)}
        for shape, of_shape in items.items():
            self.write(f"{shape}.jsonl", task_items.lines(of_shape))
        arguments = ["--task", "HellaSwag.jsonl", "--task", "PIQA.jsonl"]
        one, one_lines = self.evaluate(*arguments)
        self.assertEqual((one["checkpoint"], one["step"], one["window"]), ("run/checkpoints/step-00000007", 7, 400))
        self.assertEqual([task["task"] for task in one["tasks"]], ["HellaSwag", "PIQA"])
        self.check("HellaSwag", items["HellaSwag"], one["tasks"][0], one_lines[:50])
        self.check("PIQA", items["PIQA"], one["tasks"][1], one_lines[50:])
        for ranks in (2, 3):
            several, lines = self.evaluate(*arguments, ranks=ranks)
            self.assertEqual(several, one)
            for line, expected in zip(lines, one_lines, strict=True):
                for value, likelihood in zip(line.pop("log_likelihoods"), expected["log_likelihoods"], strict=True):
                    self.assertAlmostEqual(value, likelihood, delta=1e-4 * max(1, abs(likelihood)))
                self.assertEqual(line, {key: expected[key] for key in line})

    def test_every_shape_gets_its_prompts(self):
        for shape, make in task_items.SHAPES.items():
            with self.subTest(shape):
                items = make(5)
                self.write("task.jsonl", task_items.lines(items))
                found, lines = self.evaluate("--task", "task.jsonl")
                self.check(shape, items, found["tasks"][0], lines)

    def test_long_items_lose_their_beginning(self):
        items = task_items.piqa(6)
        self.write("task.jsonl", task_items.lines(items))
        window = 70
        found, lines = self.evaluate("--task", "task.jsonl", "--max-length", window)
        self.assertEqual(found["window"], window)
        sequences, cut = [], []
        for item in items:
            for context, text in zip(*task_items.prompts("PIQA", item)[:2]):
                before, after = (part.encode() for part in task_items.pair(context, text))
                cut.append(len(before + after) > window + 1)
                whole = list(before + after)[-(window + 1):]
                sequences += [whole, whole[:-len(after)]]
        self.assertIn(True, cut)
        self.assertEqual([each for line in lines for each in line["truncated"]], cut)
        self.assertEqual(found["tasks"][0]["truncated"], sum(cut))
        sums = self.loss_sums(sequences)
        values = [value for line in lines for value in line["log_likelihoods"]]
        for index, value in enumerate(values):
            self.assertAlmostEqual(value, sums[2 * index + 1] - sums[2 * index], delta=1e-3)
        self.assertIn(f"{sum(cut)} choices were longer than the window", self.hetmoe(
            "evaluate", "run", "--tokenizer", "bytes", "--task", "task.jsonl", "--max-length", window))

    def test_people_get_a_table(self):
        self.write("mine.jsonl", task_items.lines(task_items.boolq(3)))
        self.write("yours.jsonl", task_items.lines(task_items.siqa(1)))
        out = self.hetmoe("evaluate", "run", "--tokenizer", "bytes", "--task", "mine.jsonl", "--task", "yours.jsonl",
                          ranks=2).splitlines()
        self.assertEqual(out[0], "run/checkpoints/step-00000007, step 7, window of 400 tokens")
        self.assertEqual(out[1].split()[:5], ["task", "shape", "items", "acc", "stderr"])
        self.assertEqual(out[2].split()[:3], ["mine", "BoolQ", "3"])
        self.assertEqual(out[3].split()[:3], ["yours", "SIQA", "1"])
        mean = (float(out[2].split()[3]) + float(out[3].split()[3])) / 2
        self.assertEqual(out[4].split()[0], "mean")
        self.assertAlmostEqual(float(out[4].split()[1]), mean, delta=1e-4)

    def test_pieces_of_the_runs_own_tokenizer(self):
        self.write("text.txt", "\n\n".join(task_items.lines([item]) for item in task_items.hellaswag(300)))
        self.assertEqual(self.run_command(HETMOE, "data", "prepare", "text.txt", "--out", "pieces", "--train-vocabulary",
                                          "340", "--input-format", "text", "--document-separator", "blank-line")[0], 0)
        text = MODEL.replace("{train: random}", "{train: pieces/train}").replace("size: 257", "size: 350")
        self.write("pieces.yaml", text)
        self.assertEqual(self.run_command(SAVE, "pieces.yaml", "run", 9, 1)[0], 0)
        self.write("task.jsonl", task_items.lines(task_items.hellaswag(4)))
        documents = [json.loads(self.hetmoe("evaluate", "run", "--task", "task.jsonl", "--json", ranks=ranks))
                     for ranks in (0, 2)]
        self.assertEqual(documents[0]["step"], 9)
        self.assertEqual(documents[0], documents[1])


class Refused(TaskCase):
    def refused(self, code, text, *arguments, ranks=0):
        command = [HETMOE, "evaluate", "run", *arguments]
        got, out, err = self.run_command(*(mpirun(ranks, *command) if ranks else command))
        lines = [line for line in err.splitlines() if line.startswith("hetmoe: ")]
        self.assertEqual((got, out, len(lines)), (code, "", 1), err)
        self.assertIn(text, lines[0])

    def test_items_that_are_none(self):
        self.write("bad.jsonl", task_items.lines(task_items.piqa(2)) + '{"goal": "a", "sol1": "b", "label": 0}\n')
        for ranks in (0, 2):
            self.refused(3, "bad.jsonl: line 3: sol2 is missing", "--tokenizer", "bytes", "--task", "bad.jsonl",
                         ranks=ranks)
        self.refused(3, "missing.jsonl", "--tokenizer", "bytes", "--task", "missing.jsonl")

    def test_an_answer_longer_than_the_window(self):
        self.write("task.jsonl", task_items.lines(task_items.piqa(2)))
        self.refused(2, "task.jsonl: line 1: choice 0: ", "--tokenizer", "bytes", "--task", "task.jsonl",
                     "--max-length", "9", ranks=2)

    def test_a_run_without_a_tokenizer(self):
        self.write("task.jsonl", task_items.lines(task_items.piqa(2)))
        for ranks in (0, 2):
            self.refused(2, "--tokenizer", "--task", "task.jsonl", ranks=ranks)

    def test_items_that_cannot_be_written_are_refused_before_the_work(self):
        self.write("task.jsonl", task_items.lines(task_items.piqa(2)))
        self.refused(3, "no/folder", "--tokenizer", "bytes", "--task", "task.jsonl", "--items", "no/folder/items.jsonl")

    def test_options_that_do_not_go_together(self):
        self.refused(2, "--task", "--task", "a.jsonl", "--tokens", "[[1, 2]]")
        self.refused(2, "--task", "--task", "a.jsonl", "--data", "valid")
        for option in (["--items", "a"], ["--max-length", "4"], ["--tokenizer", "bytes"]):
            self.refused(2, option[0], "--tokens", "[[1, 2]]", *option)
        self.refused(2, "--max-length", "--task", "a.jsonl", "--max-length", "0")


if __name__ == "__main__":
    unittest.main()
