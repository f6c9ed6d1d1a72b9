"""Our reader and writer of safetensors files against the reference library, both ways.

SAFETENSORS_FILES names the program hetmoe_safetensors_files; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import unittest

import safetensors
import safetensors.torch
import torch
import xxhash

PROGRAM = os.environ.get("SAFETENSORS_FILES", "")
BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip

# What PyTorch calls the types that it has.
REFERENCE_TYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32",
    "I64": "int64", "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64", "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


def image(header: bytes | str, data: bytes = b"") -> bytes:
    """A file of this header and this data."""
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


def reference_contents(file: bytes) -> dict[str, tuple] | None:
    """{name: (type, shape, data)} as the reference library reads it; None where it refuses."""
    try:
        tensors = safetensors.deserialize(file)
    except safetensors.SafetensorError:
        return None
    return {name: (tensor["dtype"], tensor["shape"], bytes(tensor["data"])) for name, tensor in tensors}


ONE = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'

# What both must refuse: one case per rule of the format.
REFUSED = {
    "no length": b"1234567",
    "header longer than allowed": struct.pack("<Q", 100_000_001) + b"{}",
    "header behind the file": struct.pack("<Q", 3) + b"{}",
    "empty header": image(""),
    "not UTF-8": image(b'{"__metadata__":{"a":"\xff"}}'),
    "not JSON": image("{"),
    "not an object": image("[]"),
    "lone surrogate": image('{"__metadata__":{"a":"\\ud800"}}'),
    "byte order mark": image("\ufeff" + ONE, b"1234"),
    "zero byte behind the header": image(ONE + "\0", b"1234"),
    "vertical tab": image("\v" + ONE, b"1234"),
    "two objects": image("{}{}"),
    "member twice": image(ONE.replace('"dtype"', '"dtype":"F32","dtype"'), b"1234"),
    "metadata twice": image('{"__metadata__":{"a":"1"},"__metadata__":{"a":"2"}}'),
    "metadata not text": image('{"__metadata__":{"a":1}}'),
    "member missing": image('{"a":{"dtype":"F32","shape":[1]}}', b"1234"),
    "unknown type": image(ONE.replace("F32", "F33"), b"1234"),
    "type in small letters": image(ONE.replace("F32", "f32"), b"1234"),
    "negative zero": image(ONE.replace("[0,", "[-0,"), b"1234"),
    "negative size": image(ONE.replace("[1]", "[-1]"), b"1234"),
    "size with a point": image(ONE.replace("[1]", "[1.0]"), b"1234"),
    "size with an exponent": image(ONE.replace("[1]", "[1e0]"), b"1234"),
    "offset beyond 64 bits": image(ONE.replace("4]", "18446744073709551616]"), b"1234"),
    "three offsets": image(ONE.replace("0,4", "0,4,5"), b"1234"),
    "hole at the begin": image(ONE.replace("0,4", "1,5"), b"12345"),
    "end before begin": image(ONE.replace("0,4", "4,0"), b"1234"),
    "overlap": image('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},'
                     '"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', b"123"),
    "size and shape disagree": image(ONE.replace("[1]", "[2]"), b"1234"),
    "elements overflow": image(ONE.replace("[1]", "[4294967296,4294967296]"), b"1234"),
    "bits overflow": image(ONE.replace("[1]", "[2305843009213693952]").replace("0,4", "0,0")),
    "overflow before a zero": image(ONE.replace("[1]", "[9223372036854775808,4,0]").replace("0,4", "0,0")),
    "end within a byte": image('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', b"12"),
    "data missing": image(ONE, b"123"),
    "data behind the last tensor": image(ONE, b"12345"),
}  # fmt: skip

TAKEN = {
    "no tensors": image("{}"),
    "white space around": image(" \n\t" + ONE + " \r\n", b"1234"),
    "metadata last": image(ONE[:-1] + ',"__metadata__":{"format":"pt"}}', b"1234"),
    "no elements, no dimensions": image(
        '{"a":{"dtype":"F32","shape":[1,0],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[],'
        '"data_offsets":[0,4]},"c":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}', b"1234"),
    "six bits": image('{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}', b"123"),
    "escaped name": image(ONE.replace('"a"', '"\\u00e9\\n\\u0000"'), b"1234"),
}  # fmt: skip

# What the reference takes and we refuse, because two readers could read it in two ways.
STRICTER = {
    "tensor twice": image(ONE[:-1] + "," + ONE[1:], b"1234"),
    "metadata key twice": image('{"__metadata__":{"a":"1","a":"2"}}'),
    "unknown member": image(ONE.replace('"dtype"', '"strides":[1],"dtype"'), b"1234"),
    "tensor as an array": image('{"a":["F32",[1],[0,4]]}', b"1234"),
    "metadata null": image('{"__metadata__":null}'),
    "size beyond 63 bits": image(ONE.replace("[1]", "[0,9223372036854775808]").replace("0,4", "0,0")),
}


@unittest.skipUnless(PROGRAM, "SAFETENSORS_FILES is not set")
class SafetensorsTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def ours(self, files: list[bytes]) -> list[dict]:
        """What our reader says of each file."""
        paths = []
        for number, file in enumerate(files):
            paths.append(self.folder / f"{number}.safetensors")
            paths[-1].write_bytes(file)
        command = [PROGRAM, "dump", *map(str, paths)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)

    def our_contents(self, files: list[bytes]) -> list[dict[str, tuple] | None]:
        """As reference_contents."""
        return [
            None
            if "error" in document
            else {t["name"]: (t["dtype"], t["shape"], bytes.fromhex(t["data"])) for t in document["tensors"]}
            for document in self.ours(files)
        ]

    def write(self, tensors: list[dict], metadata: dict[str, str]) -> tuple[pathlib.Path, dict]:
        """A file by our writer, and what it said of it."""
        (self.folder / "list.json").write_text(json.dumps({"tensors": tensors, "metadata": metadata}))
        path = self.folder / "ours.safetensors"
        command = [PROGRAM, "write", str(self.folder / "list.json"), str(path)]
        said = subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
        return path, json.loads(said)

    def test_both_refuse_what_breaks_a_rule(self) -> None:
        for (name, file), ours in zip(REFUSED.items(), self.ours(list(REFUSED.values()))):
            with self.subTest(name):
                self.assertIsNone(reference_contents(file))
                self.assertRegex(ours.get("error", ""), r"^[^\n]+$")

    def test_both_take_what_is_odd_but_legal(self) -> None:
        for (name, file), ours in zip(TAKEN.items(), self.our_contents(list(TAKEN.values()))):
            with self.subTest(name):
                self.assertIsNotNone(ours)
                self.assertEqual(ours, reference_contents(file))

    def test_we_refuse_what_can_be_read_in_two_ways(self) -> None:
        for (name, file), ours in zip(STRICTER.items(), self.ours(list(STRICTER.values()))):
            with self.subTest(name):
                self.assertIsNotNone(reference_contents(file))
                self.assertIn("error", ours)

    def test_both_judge_damaged_files_alike(self) -> None:
        """One byte changed, or the end cut off; the letters cannot make one name of two."""
        draw = random.Random(1)
        whole = image('{"__metadata__":{"format":"pt"},"x":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},'
                      '"y":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}  ', b"12345678")  # fmt: skip
        files = [whole]
        for _ in range(1500):
            file = bytearray(whole)
            file[draw.randrange(len(file))] = draw.choice(b'\x00\x01 "-.0123456789:,[]{}aF\xc3\xff')
            files.append(bytes(file[: draw.randrange(len(file))] if draw.random() < 0.1 else file))
        taken = 0
        for file, ours in zip(files, self.our_contents(files)):
            taken += ours is not None
            self.assertEqual(ours, reference_contents(file), file)
        self.assertGreater(taken, 100)

    def test_the_reference_reads_every_type_that_we_write(self) -> None:
        draw = random.Random(2)
        tensors = []
        for name, bits in BITS.items():
            for shape in ([], [3, 5], [8], [2, 0, 4], [1, 2, 3, 4]):
                shape = shape + [8] if bits < 8 else shape
                count = torch.Size(shape).numel()
                tensors.append({"name": f"{name}.{shape}é\n", "dtype": name, "shape": shape,
                                "data": draw.randbytes(count * bits // 8).hex()})  # fmt: skip
        path, said = self.write(tensors, {"format": "pt", "note": '"\\\u20ac\x00'})
        file = path.read_bytes()
        expected = {t["name"]: (t["dtype"], t["shape"], bytes.fromhex(t["data"])) for t in tensors}
        self.assertEqual(reference_contents(file), expected)
        with safetensors.safe_open(path, "pt") as opened:
            self.assertEqual(opened.metadata(), {"format": "pt", "note": '"\\\u20ac\x00'})
        self.assertEqual(said, {"bytes": len(file), "digest": "xxh3-128:" + xxhash.xxh3_128(file).hexdigest()})
        self.assertEqual(struct.unpack("<Q", file[:8])[0] % 8, 0)

    def test_we_read_every_type_that_the_reference_writes(self) -> None:
        draw = random.Random(3)
        tensors, expected = {}, {}
        for name, word in REFERENCE_TYPES.items():
            data = draw.randbytes(48 * BITS[name] // 8)
            storage = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            tensors[name] = storage.view(getattr(torch, word)).reshape(2, 8, 3)
            expected[name] = (name, [2, 8, 3], data)
        # PyTorch counts pairs of four bits, the format counts elements.
        tensors["F4"] = torch.frombuffer(bytearray(b"\x12\x34"), dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
        expected["F4"] = ("F4", [4], b"\x12\x34")
        file = safetensors.torch.save(tensors, {"format": "pt"})
        self.assertEqual(self.our_contents([file]), [expected])

    def test_pytorch_finds_the_values(self) -> None:
        values = {
            "layers.3.experts.5.gate#0:7": torch.randn(7, 3),
            "exp_avg.layers.3.experts.5.gate#0:7": torch.tensor([[float("inf"), float("nan"), -0.0]]),
            "copy": torch.randn(5, dtype=torch.bfloat16),
            "nothing": torch.zeros(0, 4),
        }
        types = {torch.float32: "F32", torch.bfloat16: "BF16"}
        tensors = [
            {"name": name, "dtype": types[value.dtype], "shape": list(value.shape),
             "data": value.view(torch.uint8).numpy().tobytes().hex()}
            for name, value in values.items()
        ]  # fmt: skip
        path, _ = self.write(tensors, {"format": "pt"})
        found = safetensors.torch.load_file(path)
        self.assertEqual(found.keys(), values.keys())
        for name, value in values.items():
            self.assertEqual(found[name].dtype, value.dtype)
            self.assertTrue(torch.equal(found[name].view(torch.uint8), value.view(torch.uint8)), name)

    def test_we_find_the_values_of_pytorch(self) -> None:
        values = {"b": torch.randn(4, 3), "a": torch.arange(5), "s": torch.tensor(True)}
        (contents,) = self.our_contents([safetensors.torch.save(values, {"format": "pt"})])
        self.assertEqual(contents.keys(), values.keys())
        self.assertEqual(contents["b"], ("F32", [4, 3], values["b"].numpy().tobytes()))
        self.assertEqual(contents["a"], ("I64", [5], values["a"].numpy().tobytes()))
        self.assertEqual(contents["s"], ("BOOL", [], b"\x01"))


if __name__ == "__main__":
    unittest.main()
