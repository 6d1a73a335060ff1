"""What lies in the files of a data directory."""

import struct

from journeys import legs


def on_disk(server, marker):
    """Whether any file of the data directory holds it."""
    files = [path for path in server.data.rglob("*") if path.is_file()]
    assert any(path.name == "journal.sqlite" for path in files)
    return any(marker in path.read_bytes() for path in files)


def varint(number):
    bytes_, number = b"", (number << 1) ^ (number >> 63)
    while number >= 0x80:
        bytes_, number = bytes_ + bytes([number & 0x7F | 0x80]), number >> 7
    return bytes_ + bytes([number])


def encodings(degrees):
    """A position as it may lie on a disk: as text, as a float, in ten millionths of a degree."""
    e7 = round(degrees * 10**7)
    return [str(degrees).encode(), struct.pack("<d", degrees), struct.pack(">d", degrees), varint(e7)]


def journey_at(latitude, end_ms):
    return [{**reading, "lat": latitude} for reading in legs(1, end_ms)]
