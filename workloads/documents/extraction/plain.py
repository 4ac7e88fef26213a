"""Reader of plain text, split into paragraphs."""

from __future__ import annotations

from collections.abc import Iterator

from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.decoding import decode


def read_text(data: bytes, facts: Facts) -> Iterator[Block]:
    """Yield one block per paragraph, that is per run of lines between blank lines.

    ``line`` is its first line in the file.
    """
    lines: list[str] = []
    first = 1
    for number, line in enumerate(decode(data).splitlines(), start=1):
        if line.strip():
            if not lines:
                first = number
            lines.append(line)
        elif lines:
            yield Block("\n".join(lines), {"line": first})
            lines = []
    if lines:
        yield Block("\n".join(lines), {"line": first})
