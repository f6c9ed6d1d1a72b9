"""`deploy/tensorboard/follow.py`: what it writes is read back by a reader of this test's own, by protoc,
and by TensorBoard where the interpreter has it."""

import json
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
FOLLOW = PROJECT / "deploy/tensorboard/follow.py"
sys.path.insert(0, str(FOLLOW.parent))

import event_file  # noqa: E402

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    EventAccumulator = None


def slow_crc32c(data):
    """Bit by bit, from the definition."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            carry = (crc ^ byte >> bit) & 1
            crc >>= 1
            if carry:
                crc ^= 0x82F63B78
    return crc ^ 0xFFFFFFFF


def unmasked(masked):
    turned = (masked - 0xA282EAD8) % 2**32
    return (turned >> 17 | turned << 15) % 2**32


def payloads_of(path):
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,), (length_crc,) = struct.unpack_from("<Q", data, at), struct.unpack_from("<I", data, at + 8)
        payload = data[at + 12:at + 12 + length]
        (payload_crc,) = struct.unpack_from("<I", data, at + 12 + length)
        assert unmasked(length_crc) == slow_crc32c(data[at:at + 8])
        assert unmasked(payload_crc) == slow_crc32c(payload)
        yield payload
        at += 16 + length


def fields_of(data):
    """(number, value) of a protobuf message: varints as numbers, all else as bytes."""
    at = 0

    def varint():
        nonlocal at
        number = shift = 0
        while True:
            byte = data[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while at < len(data):
        key = varint()
        size = {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        if size is None:
            assert key & 7 == 2, key
            size = varint()
        yield key >> 3, data[at:at + size]
        at += size


def events_of(folder):
    """[(step, {tag: value}, restarted)] of all event files, and their version."""
    events, versions = [], set()
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for payload in payloads_of(path):
            event = dict(fields_of(payload))
            if 3 in event:
                versions.add(event[3])
                continue
            values = {}
            for _, value in fields_of(event.get(5, b"")):
                parts = dict(fields_of(value))
                values[parts[1].decode()] = struct.unpack("<f", parts[2])[0]
            events.append((event.get(2, 0), values, 7 in event))
    return events, versions


class TensorBoard(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="hetmoe-")
        self.addCleanup(folder.cleanup)
        self.run_directory = pathlib.Path(folder.name) / "run"
        self.out = pathlib.Path(folder.name) / "board"
        self.run_directory.mkdir()

    def add(self, *lines):
        with open(self.run_directory / "metrics.jsonl", "a", encoding="utf-8") as file:
            for line in lines:
                file.write(line if isinstance(line, str) else json.dumps(line) + "\n")

    def follow(self, *arguments):
        command = [sys.executable, "-B", str(FOLLOW), str(self.run_directory), "--out", str(self.out), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def start(self):
        process = subprocess.Popen([sys.executable, "-B", str(FOLLOW), str(self.run_directory), "--out", str(self.out),
                                    "--seconds", "0.05"], stderr=subprocess.PIPE, text=True)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def wait_for(self, count):
        deadline = time.monotonic() + 30
        while True:
            try:
                events, versions = events_of(self.out)
                if versions and len(events) >= count:
                    return
            except (struct.error, AssertionError):
                pass  # in the middle of a record
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_the_checksum_is_castagnolis(self):
        # Check values: the catalogue of parametrised CRC algorithms; RFC 3720, B.4.
        for crc in (event_file.crc32c, slow_crc32c):
            self.assertEqual(crc(b"123456789"), 0xE3069283)
            self.assertEqual(crc(bytes(32)), 0x8A9136AA)
            self.assertEqual(crc(b"\xff" * 32), 0x62A8AB43)

    def test_every_number_of_a_line_is_a_scalar(self):
        self.add({"step": 1, "generation": 1, "loss": 2.5, "aux": {"load_balance": 0.5, "x": None}, "expert_tokens": [3, 400000]},
                 {"step": 300, "generation": 1, "eval_loss": 1.25, "flag": True, "text": "a", "huge": 1e300})
        self.assertEqual(self.follow("--once").returncode, 0)
        events, versions = events_of(self.out)
        self.assertEqual(versions, {b"brain.Event:2"})
        self.assertEqual(events, [
            (1, {"train/loss": 2.5, "aux/load_balance": 0.5, "expert_tokens/0": 3.0, "expert_tokens/1": 400000.0}, False),
            (300, {"evaluate/eval_loss": 1.25}, False)])

    def test_protoc_reads_the_same_fields(self):
        self.add({"step": 300, "generation": 1, "loss": 2.5})
        self.follow("--once")
        path, = self.out.glob("events.out.tfevents.*")
        _, payload = payloads_of(path)
        if shutil.which("protoc") is None:
            self.skipTest("protoc is not installed")
        shown = subprocess.run(["protoc", "--decode_raw"], input=payload, capture_output=True, timeout=60, check=True).stdout.decode()
        self.assertIn("2: 300\n5 {\n  1 {\n    1: \"train/loss\"\n    2: 0x40200000\n  }\n}\n", shown)

    def test_damaged_lines_are_passed_over_and_half_a_line_waits_for_its_end(self):
        self.add("{\"step\": 1, \"lo\n", "[]\n", {"step": "1", "loss": 1}, {"step": -1, "loss": 1}, {"step": True, "loss": 1},
                 "[" * 100000 + "\n", {"step": 2, "loss": 4.0}, '{"step": 3, "lo')
        result = self.follow("--once")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("6 damaged lines passed over", result.stderr)
        self.assertEqual(events_of(self.out)[0], [(2, {"train/loss": 4.0}, False)])
        process = self.start()
        self.wait_for(1)
        self.add('ss": 2.0}\n')
        self.wait_for(2)
        self.assertEqual(events_of(self.out)[0][1], (3, {"train/loss": 2.0}, False))
        (self.run_directory / "exit.json").write_text("{}")
        self.assertEqual(process.wait(timeout=30), 0)

    def test_it_waits_for_the_run_and_ends_with_it(self):
        process = self.start()
        self.wait_for(0)
        time.sleep(0.5)  # ten looks at a run that has not written anything
        for step in range(1, 4):
            self.add({"step": step, "generation": 1, "loss": 1.0 * step})
            self.wait_for(step)
        self.assertIsNone(process.poll())
        self.add({"step": 4, "generation": 1, "loss": 4.0})
        (self.run_directory / "exit.json").write_text("{}")
        self.assertEqual(process.wait(timeout=30), 0)
        self.assertEqual([step for step, _, _ in events_of(self.out)[0]], [1, 2, 3, 4])

    def test_an_interrupt_ends_it_in_order(self):
        self.add({"step": 1, "loss": 1.0})
        process = self.start()
        self.wait_for(1)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 0)

    def test_steps_that_a_later_start_does_again_replace_the_earlier_ones(self):
        self.add(*({"step": step, "generation": 1, "loss": 1.0} for step in range(1, 6)),
                 *({"step": step, "generation": 2, "loss": 2.0} for step in range(4, 8)))
        self.follow("--once")
        events = events_of(self.out)[0]
        self.assertEqual([step for step, _, restarted in events if restarted], [4])
        kept = {}
        for step, values, restarted in events:
            if restarted:
                kept = {known: value for known, value in kept.items() if known < step}
            else:
                kept[step] = values["train/loss"]
        self.assertEqual(kept, {1: 1.0, 2: 1.0, 3: 1.0, 4: 2.0, 5: 2.0, 6: 2.0, 7: 2.0})

    def test_started_again_it_replaces_its_own_files_and_no_others(self):
        self.add({"step": 1, "loss": 1.0})
        self.follow("--once")
        self.follow("--once")
        self.assertEqual(len(events_of(self.out)[0]), 1)
        (self.out / "written-by-follow-py").unlink()
        result = self.follow("--once")
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))
        self.assertIn("holds event files of something else", result.stderr)

    @unittest.skipIf(EventAccumulator is None, "TensorBoard is not installed")
    def test_tensorboard_reads_it(self):
        self.add(*({"step": step, "generation": 1, "loss": step / 4} for step in range(1, 6)),
                 {"step": 4, "generation": 2, "loss": 9.5})
        self.follow("--once")
        board = EventAccumulator(str(self.out))
        board.Reload()
        self.assertEqual([(event.step, event.value) for event in board.Scalars("train/loss")],
                         [(1, 0.25), (2, 0.5), (3, 0.75), (4, 9.5)])


if __name__ == "__main__":
    unittest.main()
