"""Build the PDF, Word and HTML documents of the corpus from their Markdown sources.

    pip install reportlab==5.1.0      # needed for the PDF files only; everything else is in requirements.txt
    python examples/corpus/build.py   # writes into examples/corpus/documents/

The built files are committed, so nobody needs this script to run the demo. The output is the same, byte for
byte, on every run. Chinese PDF files use the standard CID font STSong-Light, which is not embedded: the text
layer is complete, and a file stays at a few kilobytes.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import docx
from markdown_it import MarkdownIt
from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Paragraph, SimpleDocTemplate

HERE = Path(__file__).parent
SOURCES = HERE / "sources"
DOCUMENTS = HERE / "documents"
DAMAGED = "interrupted-upload.pdf"  # a copy of another PDF that ends after two fifths, as a broken upload does
EPOCH = datetime(2026, 1, 1)
CJK = r"[\u3000-\u9fff\uff00-\uffef]"


@dataclass(frozen=True)
class Block:
    """A heading (level 1–6), a list item (`bullet` or `1.`) or a paragraph, as plain text."""

    text: str
    level: int = 0
    marker: str = ""


def join_lines(text: str) -> str:
    """Join the lines of a wrapped paragraph; between Chinese characters without a blank."""
    text = re.sub(rf"(?<={CJK})\n(?={CJK})", "", text)
    return text.replace("\n", " ")


def read_blocks(source: str) -> Iterator[Block]:
    """Yield the blocks of a Markdown text, emphasis and code marks removed."""
    ordinal: list[int | None] = []
    level, marker = 0, ""
    for token in MarkdownIt().parse(source):
        if token.type == "heading_open":
            level = int(token.tag[1])
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            ordinal.append(0 if token.type.startswith("ordered") else None)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            ordinal.pop()
        elif token.type == "list_item_open":
            count = ordinal[-1]
            ordinal[-1] = None if count is None else count + 1
            marker = "•" if count is None else f"{count + 1}."
        elif token.type == "inline":
            parts = ["\n" if c.type == "softbreak" else c.content for c in token.children or []]
            yield Block(join_lines("".join(parts)), level, marker)
            level, marker = 0, ""


def build_html(source: str, target: Path) -> None:
    title = next(read_blocks(source)).text
    language = "zh-Hans" if target.name.startswith("zh-") else "en"
    body = MarkdownIt().render(re.sub(rf"(?<={CJK})\n(?={CJK})", "", source))
    target.write_text(
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title></head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def build_docx(source: str, target: Path) -> None:
    document = docx.Document()
    document.core_properties.created = document.core_properties.modified = EPOCH
    document.core_properties.author = ""
    for block in read_blocks(source):
        if block.level:
            document.add_heading(block.text, level=block.level)
        elif block.marker:
            document.add_paragraph(block.text, style="List Bullet" if block.marker == "•" else "List Number")
        else:
            document.add_paragraph(block.text)
    buffer = io.BytesIO()
    document.save(buffer)
    with zipfile.ZipFile(buffer) as made, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as fixed:
        for name in made.namelist():  # the same entries under a fixed date, for equal bytes on every run
            fixed.writestr(zipfile.ZipInfo(name, EPOCH.timetuple()[:6]), made.read(name), zipfile.ZIP_DEFLATED)


def build_pdf(source: str, target: Path) -> None:
    chinese = target.name.startswith("zh-")
    font, bold = ("STSong-Light",) * 2 if chinese else ("Helvetica", "Helvetica-Bold")
    wrap = "CJK" if chinese else None
    text = ParagraphStyle("text", fontName=font, fontSize=10.5, leading=15, spaceAfter=7, alignment=TA_LEFT, wordWrap=wrap)
    heads = {1: 17, 2: 13, 3: 11}
    story = []
    for block in read_blocks(source):
        style = text
        if block.level:
            size = heads[block.level]
            style = ParagraphStyle(f"h{block.level}", text, fontName=bold, fontSize=size, leading=size + 5, spaceBefore=8)
        story.append(Paragraph(html.escape(f"{block.marker} {block.text}".strip()), style))
    title = next(read_blocks(source)).text
    SimpleDocTemplate(str(target), pagesize=A4, title=title, invariant=1, pageCompression=1).build(story)


def main() -> None:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    builders = {"html": build_html, "docx": build_docx, "pdf": build_pdf}
    for kind, build in builders.items():
        for source in sorted((SOURCES / kind).glob("*.md")):
            build(source.read_text(encoding="utf-8"), DOCUMENTS / f"{source.stem}.{kind}")
    whole = (DOCUMENTS / "operating-a-worker-pool.pdf").read_bytes()
    (DOCUMENTS / DAMAGED).write_bytes(whole[: len(whole) * 2 // 5])


if __name__ == "__main__":
    main()
