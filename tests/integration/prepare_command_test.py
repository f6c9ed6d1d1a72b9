"""`hetmoe data prepare` as a user types it: formats, workers, a bounded memory, and kills.

The reference of every run is the run on plain text that nobody interrupted; its tokens are checked
against the text itself, byte for byte.
"""

import gzip
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time
import unittest

from command_line import CommandLineCase, HETMOE

MEBIBYTE = 1 << 20
WORDS = "the router sends every token to an expert whose width is not that of its neighbours Ångström naïve ☃ 😀".split()


def documents(count, seed=1, words=60):
    draw = random.Random(seed)
    made = []
    for number in range(count):
        lines = [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(draw.randint(1, words // 6))]
        made.append(f"document {number}\n" + "\n".join(lines))
    return made


def tokens_of(prefix):
    """(tokens of each document) by the published layout of Megatron's index, for uint16."""
    index = prefix.with_suffix(".idx").read_bytes()
    sequences, = struct.unpack_from("<Q", index, 18)
    lengths = struct.unpack_from(f"<{sequences}i", index, 34)
    tokens = memoryview(prefix.with_suffix(".bin").read_bytes()).cast("H")
    begin = 0
    for length in lengths:
        yield tokens[begin:begin + length]
        begin += length


class PrepareCase(CommandLineCase):
    def prepare(self, *arguments):
        code, out, err = self.run_command(HETMOE, "data", "prepare", *arguments)
        self.assertEqual(code, 0, err)
        return out, err

    def refuse(self, code, *arguments):
        found, out, err = self.run_command(HETMOE, "data", "prepare", *arguments)
        self.assertEqual((found, out), (code, ""), err)
        return err.splitlines()[-1]

    def files(self, folder):
        return {path.name: path.read_bytes() for path in (self.folder / folder).iterdir()}

    def assert_same(self, folder, reference):
        """Same names, same bytes."""
        found, expected = self.files(folder), self.files(reference)
        self.assertEqual(sorted(found), sorted(expected))
        for name, contents in expected.items():
            self.assertTrue(found[name] == contents, f"{folder}/{name} differs from {reference}/{name}")

    def write_formats(self, texts):
        """The same documents in six ways. Gives the names of the files."""
        text = "\n\n".join(texts) + "\n"
        lines = "".join(json.dumps({"id": number, "text": document}, ensure_ascii=number % 2 == 0) + "\n"
                        for number, document in enumerate(texts))
        self.write("text", text)
        self.write("lines", lines)
        middle = len(lines) // 2
        (self.folder / "text.packed").write_bytes(gzip.compress(text.encode()))
        (self.folder / "lines.gz").write_bytes(gzip.compress(lines[:middle].encode()) + gzip.compress(lines[middle:].encode()))
        for name in ("text", "lines"):
            subprocess.run(["zstd", "-qf", self.folder / name], check=True)
        return ["text", "lines", "text.packed", "lines.gz", "text.zst", "lines.zst"]


class FormatsTest(PrepareCase):
    def test_the_same_documents_make_the_same_shards_whatever_file_they_are_in(self):
        texts = documents(3000)
        names = self.write_formats(texts)
        for options in (["--tokenizer", "bytes"], ["--train-vocabulary", "500"]):
            for name in names:
                self.prepare(name, "--out", f"out-{name}", "--document-separator", "blank-line", *options, "--force")
                self.assert_same(f"out-{name}", "out-text")
            if options[0] == "--tokenizer":
                self.check_bytes(texts)
        self.assertIn("tokenizer.model", self.files("out-lines.zst"))

    def check_bytes(self, texts):
        train = [bytes(tokens[:-1]).decode() if max(tokens[:-1]) < 256 else None
                 for tokens in map(list, tokens_of(self.folder / "out-text/train"))]
        valid = [bytes(list(tokens)[:-1]).decode() for tokens in tokens_of(self.folder / "out-text/valid")]
        self.assertEqual(sorted(train + valid), sorted(texts))
        held_out = set(valid)
        self.assertEqual(train, [text for text in texts if text not in held_out])
        self.assertEqual(valid, [text for text in texts if text in held_out])

    def test_folders_and_files_are_read_in_order(self):
        texts = documents(40)
        self.write("in/a.jsonl", "".join(json.dumps({"body": text}) + "\n" for text in texts[:10]))
        (self.folder / "in/b").write_bytes(gzip.compress("\n\n".join(texts[10:20]).encode()))
        self.write("in/c/d.txt", "\n\n".join(texts[20:30]))
        self.write("e.txt", "\n\n".join(texts[30:]))
        self.prepare("in", "e.txt", "--out", "out", "--json-field", "body", "--document-separator", "blank-line",
                     "--valid-fraction", "0")
        self.assertEqual([bytes(list(tokens)[:-1]).decode() for tokens in tokens_of(self.folder / "out/train")], texts)

    def test_what_is_cut_short_is_named_with_its_byte_and_leaves_nothing(self):
        self.write_formats(documents(400))
        for name, kind in (("text.packed", "gzip"), ("lines.zst", "zstd")):
            whole = (self.folder / name).read_bytes()
            (self.folder / name).write_bytes(whole[:-5])
            message = self.refuse(3, name, "--out", "out", "--document-separator", "blank-line")
            self.assertEqual(message, f"hetmoe: '{name}' at byte {len(whole) - 5}: the {kind} stream is cut short")
            self.assertFalse((self.folder / "out").exists())

    def test_a_bad_line_is_named_with_its_number_or_skipped_and_counted(self):
        lines = [json.dumps({"text": text}) for text in documents(50)]
        bad = lines[:20] + ['{"text": "\\ud800"}', '{"text": 1}'] + lines[20:] + ['{"tex']
        self.write("good", "\n".join(lines) + "\n")
        self.write("bad", "\n".join(bad) + "\n")
        message = self.refuse(3, "bad", "--out", "out")
        self.assertRegex(message, r"^hetmoe: 'bad' line 21: is not JSON at byte \d+: .*surrogate")
        self.assertFalse((self.folder / "out").exists())
        self.prepare("good", "--out", "good-out")
        out, _ = self.prepare("bad", "--out", "bad-out", "--skip-invalid", "--json")
        self.assertEqual(json.loads(out)["skipped_lines"], 3)
        self.assert_same("bad-out", "good-out")
        message = self.refuse(2, "good", "--out", "out", "--json-field", "body")
        self.assertIn("looks like JSON lines, but its first one has no field 'body'", message)


class WorkersTest(PrepareCase):
    def test_any_number_of_workers_makes_the_same_shards(self):
        texts = documents(12000, words=120)
        self.write("lines", "".join(json.dumps({"text": text}) + "\n" for text in texts))
        self.assertGreater((self.folder / "lines").stat().st_size, 4 * MEBIBYTE, "more than four batches")
        self.prepare("lines", "--out", "model", "--train-vocabulary", "400", "--workers", "1")
        for tokenizer in ("bytes", "model/tokenizer.model"):
            for workers in (1, 2, 5):
                self.prepare("lines", "--out", f"out-{workers}", "--tokenizer", tokenizer, "--workers", workers,
                             "--force")
                self.assert_same(f"out-{workers}", "out-1")
        self.assert_same("out-5", "model")


class ProgressTest(PrepareCase):
    def test_a_log_file_gets_a_line_for_each_stage(self):
        self.write("text", "\n\n".join(documents(3000)))
        _, err = self.prepare("text", "--out", "out", "--document-separator", "blank-line", "--train-vocabulary", "400")
        self.assertRegex(err, r"^sampling text: |^training tokenizer")
        self.assertRegex(err, r"(?m)^encoding: 0 %$")
        self.assertRegex(err, r"done: 100 %, 3000 documents, \d+ tokens\n$")


class KilledTest(PrepareCase):
    OPTIONS = ["--document-separator", "blank-line", "--save-every", "1", "--valid-fraction", "0.2"]

    def interrupt(self, command, seconds):
        """Whether the command was still at work when it was killed with all that it started."""
        process = self.start(*command)
        time.sleep(seconds)
        running = process.poll() is None
        if running:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return running

    def assert_nothing_looks_whole(self, folder):
        for shard in ("train", "valid"):
            names = {path.name for path in (self.folder / folder).glob(f"{shard}.*")}
            if f"{shard}.idx" in names:
                self.assertLessEqual({f"{shard}.bin", f"{shard}.json"}, names)
                self.assert_file_is_final(folder, shard)

    def assert_file_is_final(self, folder, shard):
        for suffix in ("bin", "idx", "json"):
            name = f"{shard}.{suffix}"
            self.assertEqual((self.folder / folder / name).read_bytes(), (self.folder / "whole" / name).read_bytes())

    def check_kills(self, name, options, kills, seed):
        begin = time.monotonic()
        self.prepare(name, "--out", "whole", *options)
        seconds = time.monotonic() - begin
        draw = random.Random(seed)
        command = [HETMOE, "data", "prepare", name, "--out", "out", *options]
        resumed = 0
        for _ in range(kills):
            if not self.interrupt(command, draw.uniform(0, seconds)):
                self.assert_same("out", "whole")
                shutil.rmtree(self.folder / "out")
                continue
            if (self.folder / "out").exists():
                self.assert_nothing_looks_whole("out")
            if (self.folder / "out/unfinished.json").exists():
                resumed += 1
        if (self.folder / "out/train.idx").exists() and not (self.folder / "out/unfinished.json").exists():
            shutil.rmtree(self.folder / "out")
        _, err = self.prepare(name, "--out", "out", *options)
        self.assert_same("out", "whole")
        return resumed, err

    def test_killed_at_any_time_it_goes_on_to_the_same_bytes(self):
        names = self.write_formats(documents(40000, seed=3, words=160))
        resumed = 0
        for name, seed in (("text", 5), ("lines.gz", 6), ("text.zst", 7)):
            self.assertIn(name, names)
            resumed += self.check_kills(name, ["--tokenizer", "bytes", *self.OPTIONS], 12, seed)[0]
            for folder in ("out", "whole"):
                shutil.rmtree(self.folder / folder)
        self.assertGreater(resumed, 3, "hardly any kill came after a safe point")

    def test_killed_while_it_trains_or_encodes_with_a_vocabulary(self):
        self.write_formats(documents(14000, seed=4, words=160))
        options = ["--train-vocabulary", "400", *self.OPTIONS]
        self.assertGreater(self.check_kills("lines.zst", options, 8, 9)[0], 0)

    def killed_after_a_safe_point(self, name="text", options=()):
        self.write_formats(documents(40000, seed=3, words=160))
        command = [HETMOE, "data", "prepare", name, "--out", "out", *self.OPTIONS, *options]
        for _ in range(50):
            process = self.start(*command)
            while process.poll() is None and not (self.folder / "out/unfinished.json").exists():
                time.sleep(0.001)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if (self.folder / "out/unfinished.json").exists():
                return
            shutil.rmtree(self.folder / "out")
        self.fail("never caught between its first safe point and its end")

    def test_it_says_that_it_goes_on_and_does_not_begin_at_the_start(self):
        self.killed_after_a_safe_point()
        state = self.read_json("out/unfinished.json")
        self.assertGreater(state["position"]["bytes"], MEBIBYTE // 2)
        _, err = self.prepare("text", "--out", "out", *self.OPTIONS)
        self.assertIn("going on where an unfinished preparation stopped", err)
        self.assertNotIn("encoding: 0 %", err)

    def test_another_command_or_changed_inputs_are_refused_unless_forced(self):
        self.killed_after_a_safe_point()
        message = self.refuse(2, "text", "--out", "out", *self.OPTIONS, "--seed", "2")
        self.assertIn("'out' holds an unfinished preparation: by another command (seed 1, now 2)", message)
        self.assertIn("--force begins anew", message)
        before = self.files("out")
        os.utime(self.folder / "text", (1, 1))
        message = self.refuse(2, "text", "--out", "out", *self.OPTIONS)
        self.assertIn("by another command (inputs 1 files of", message)
        self.assertEqual(self.files("out"), before, "a refusal must change nothing")
        self.prepare("text", "--out", "out", *self.OPTIONS, "--force")
        self.prepare("text", "--out", "whole", *self.OPTIONS)
        self.assert_same("out", "whole")

    def test_a_damaged_remainder_is_refused_unless_forced(self):
        for damage in ("cut", "missing", "state"):
            self.killed_after_a_safe_point()
            if damage == "cut":
                os.truncate(self.folder / "out/train.bin.partial", 10)
            elif damage == "missing":
                (self.folder / "out/valid.lengths.partial").unlink()
            else:
                (self.folder / "out/unfinished.json").write_text('{"version": 1, "stage": "enc')
            self.assertIn("--force begins anew", self.refuse(2, "text", "--out", "out", *self.OPTIONS))
            self.prepare("text", "--out", "out", *self.OPTIONS, "--force")
            self.prepare("text", "--out", "whole", *self.OPTIONS, "--force")
            self.assert_same("out", "whole")
            shutil.rmtree(self.folder / "out")

    def test_two_at_once_in_one_folder_are_refused(self):
        self.write_formats(documents(40000, seed=3, words=160))
        first = self.start(HETMOE, "data", "prepare", "text", "--out", "out", *self.OPTIONS)
        os.kill(first.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while not (self.folder / "out/unfinished.lock").exists() and time.monotonic() < deadline:
            os.kill(first.pid, signal.SIGCONT)
            time.sleep(0.002)
            os.kill(first.pid, signal.SIGSTOP)
        message = self.refuse(3, "text", "--out", "out", *self.OPTIONS)
        self.assertIn("cannot write into 'out': another process is preparing it", message)
        os.kill(first.pid, signal.SIGCONT)
        self.assertEqual(first.communicate(timeout=60)[1].splitlines()[-1][:11], "done: 100 %")
        self.prepare("text", "--out", "whole", *self.OPTIONS)
        self.assert_same("out", "whole")


class MemoryTest(PrepareCase):
    ROOM_MEBIBYTES = 40
    SCRIPT = ("import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024); sys.exit(code)")

    def peak_mebibytes(self, packed, repeats):
        """Of a run over `repeats` members of gzip behind one another; and the bytes of its documents."""
        (self.folder / "lines.gz").write_bytes(packed * repeats)
        code, out, err = self.run_command("python3", "-c", self.SCRIPT, HETMOE, "data", "prepare", "lines.gz", "--out",
                                          "out", "--tokenizer", "bytes", "--workers", "2", "--json", "--force")
        self.assertEqual(code, 0, err)
        sizes, peak = out.splitlines()
        return int(peak), sum(json.loads(sizes)[shard]["raw_bytes"] for shard in ("train", "valid"))

    def test_it_does_not_grow_with_the_input(self):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in documents(2000, words=160))
        packed = gzip.compress(lines.encode())
        repeats = 40 * MEBIBYTE // len(lines) + 1
        small_peak, small_bytes = self.peak_mebibytes(packed, repeats)
        peak, raw_bytes = self.peak_mebibytes(packed, 8 * repeats)
        self.assertGreater(raw_bytes - small_bytes, 4 * self.ROOM_MEBIBYTES * MEBIBYTE)
        self.assertLess(peak, small_peak + self.ROOM_MEBIBYTES)


if __name__ == "__main__":
    unittest.main()
