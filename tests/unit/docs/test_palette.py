"""Smaller pictures without the loss of a frequent colour."""

from __future__ import annotations

import struct
import zlib

import pytest

from docs.screenshots import palette

RED, BLUE = b"\xff\0\0", b"\0\0\xff"


def picture(lines: list[bytes], *, width: int, kind: int = 2, depth: int = 8) -> bytes:
    """Return a PNG whose lines begin with their filter."""
    header = struct.pack(">2I5B", width, len(lines), depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(lines), 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return palette.SIGNATURE + b"".join(palette._chunk(name, body) for name, body in chunks)


def pixels_of(made: bytes) -> list[bytes]:
    """Return the colours of a picture with a palette and lines without a filter."""
    at, chunks = len(palette.SIGNATURE), {}
    while at < len(made):
        (size,) = struct.unpack(">I", made[at : at + 4])
        chunks[made[at + 4 : at + 8]] = made[at + 8 : at + 8 + size]
        at += 12 + size
    width, height, _depth, kind = struct.unpack(">2I2B", chunks[b"IHDR"][:10])
    assert kind == 3
    data, table = zlib.decompress(chunks[b"IDAT"]), chunks[b"PLTE"]
    places = [data[row * (width + 1) + 1 + column] for row in range(height) for column in range(width)]
    return [table[3 * place : 3 * place + 3] for place in places]


def test_shrunken_picture_keeps_every_colour() -> None:
    plain = b"\0" + RED * 32 + BLUE * 32
    left = b"\1" + RED + b"\0\0\0" * 31 + b"\x01\0\xff" + b"\0\0\0" * 31
    above = b"\2" + b"\0\0\0" * 64
    made = palette.shrink(picture([plain, left, above], width=64))
    assert pixels_of(made) == ([RED] * 32 + [BLUE] * 32) * 3


def test_filters_average_and_paeth_are_undone() -> None:
    colours = [bytes((value, 3 * value % 256, 7)) for value in range(0, 240, 8)]
    line = b"".join(colour * 4 for colour in colours)
    below = b"".join(colour * 4 for colour in reversed(colours))

    def filtered(kind: int, line: bytes, above: bytes) -> bytes:
        made = bytearray([kind])
        for at, value in enumerate(line):
            left, corner = (line[at - 3], above[at - 3]) if at >= 3 else (0, 0)
            nearest = min((left, above[at], corner), key=lambda one: abs(left + above[at] - corner - one))
            made.append((value - ((left + above[at]) // 2 if kind == 3 else nearest)) % 256)
        return bytes(made)

    nothing = bytes(len(line))
    lines = [filtered(3, line, nothing), filtered(4, below, line), filtered(4, line, below), filtered(3, line, line)]
    made = palette.shrink(picture(lines, width=len(line) // 3))
    assert b"".join(pixels_of(made)) == line + below + line + line


def test_colour_beyond_the_palette_becomes_the_nearest_one() -> None:
    line = b"\0" + b"".join(bytes((value, value, value)) * 2 for value in range(256)) + bytes((7, 7, 8))
    made = palette.shrink(picture([line] * 8, width=513))
    assert pixels_of(made)[512] == bytes((7, 7, 7))


def test_picture_of_another_colour_type_is_refused() -> None:
    with pytest.raises(ValueError, match="type 0"):
        palette.shrink(picture([b"\0\0"], width=1, kind=0))
