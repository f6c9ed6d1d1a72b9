"""Writes TensorBoard event files without TensorBoard.

A file is a row of records: length (64 bits), masked CRC32C of the length, payload, masked CRC32C of
the payload, all little-endian (TFRecord). A payload is an `Event` message of tensorflow/core/util/event.proto:
wall_time = 1 (double), step = 2 (int64), file_version = 3 (string), summary = 5, session_log = 7; of a
`Summary` value = 1, repeated; of a value tag = 1 (string), simple_value = 2 (float); of a `SessionLog`
status = 1 (START = 1).
"""

import os
import socket
import struct

POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data):
    """Turned and shifted, as TFRecord wants it: a file may hold checksums of checksums."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(payload):
    length = struct.pack("<Q", len(payload))
    return (length + struct.pack("<I", masked_crc32c(length)) + payload
            + struct.pack("<I", masked_crc32c(payload)))


def varint(number):
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, wire_type, content):
    return varint(number << 3 | wire_type) + content


def bytes_field(number, content):
    return field(number, 2, varint(len(content)) + content)


def scalar(tag, value):
    return bytes_field(1, bytes_field(1, tag.encode()) + field(2, 5, struct.pack("<f", value)))


def event(wall_seconds, step, scalars):
    """`scalars`: pairs of a tag and a number."""
    summary = b"".join(scalar(tag, value) for tag, value in scalars)
    return field(1, 1, struct.pack("<d", wall_seconds)) + field(2, 0, varint(step)) + bytes_field(5, summary)


def restart_event(wall_seconds, step):
    """Readers then drop what they have of this step and later ones."""
    start = field(1, 0, varint(1))
    return field(1, 1, struct.pack("<d", wall_seconds)) + field(2, 0, varint(step)) + bytes_field(7, start)


def version_event(wall_seconds):
    return field(1, 1, struct.pack("<d", wall_seconds)) + bytes_field(3, b"brain.Event:2")


class EventFile:
    """A new event file in `folder`, flushed with every `flush`."""

    def __init__(self, folder, wall_seconds):
        os.makedirs(folder, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{int(wall_seconds):010d}.{socket.gethostname()}.{os.getpid()}"
        self.path = os.path.join(folder, name)
        self.file = open(self.path, "xb")
        self.file.write(record(version_event(wall_seconds)))

    def write(self, wall_seconds, step, scalars):
        if scalars:
            self.file.write(record(event(wall_seconds, step, scalars)))

    def restart(self, wall_seconds, step):
        self.file.write(record(restart_event(wall_seconds, step)))

    def flush(self):
        self.file.flush()

    def close(self):
        self.file.close()
