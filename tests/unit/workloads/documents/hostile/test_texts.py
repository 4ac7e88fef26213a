"""Pages, tables, listings and other files of text that are deep, long, ragged or of another format than their name."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from tests.unit.workloads.documents.hostile.ending import LIMITS, Case, cases, check
from workloads.documents.extraction.limits import MIB

pytestmark = pytest.mark.process

TOO_COMPLEX, DAMAGED, UNKNOWN = "file_too_complex", "file_damaged", "type_unknown"
# For files that take all the time there is.
SHORT, LITTLE = replace(LIMITS, cpu_seconds=1), replace(LIMITS, output_bytes=MIB)
TEXT = "Fair queues"
LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'


@cases(
    half_a_million_divs=Case("a.html", lambda: b"<div>" * 500_000 + b"x", code=TOO_COMPLEX, limits=SHORT),
    closed_divs=Case("a.html", lambda: b"<div>" * 90_000 + b"x" + b"</div>" * 90_000, code=TOO_COMPLEX, limits=SHORT),
    tables_in_tables=Case("a.html", lambda: b"<table><tr><td>a<td>" * 200 + b"Fair queues", text=TEXT),
    deep_tables=Case("a.html", lambda: b"<table><tr><td>" * 5_000, code=TOO_COMPLEX),
    deep_contents=Case("a.html", lambda: b"<div class=toc>word " * 90_000, code=TOO_COMPLEX, limits=SHORT),
    deep_links=Case("a.html", lambda: b"<table><td><a>" * 3_000, code=TOO_COMPLEX),
    deep_formatting=Case("a.html", lambda: b"<b><p>" * 300 + b"Fair queues", text=TEXT),
    colspan=Case("a.html", lambda: b"<table><tr><td colspan=1000000000>a<td>Fair queues</table>", text=TEXT),
    rowspan=Case("a.html", lambda: b"<table><tr><td rowspan=1e9>a<td rowspan=999999999>Fair queues</table>", text=TEXT),
    spans_of_spans=Case(
        "a.html",
        lambda: b"<table>" + (b"<tr>" + b"<td colspan=100 rowspan=100>" * 10 + b"x") * 600,
        code=TOO_COMPLEX,
        limits=LITTLE,
    ),
    attributes=Case(
        "a.html",
        lambda: b"<p " + b"".join(b"a%d=1 " % n for n in range(50_000)) + b">x",
        code=TOO_COMPLEX,
        limits=SHORT,
    ),
    never_closed=Case("a.html", lambda: b"<html><p>Fair queues<!-- never closed <p>hidden", text=TEXT, lacks="hidden"),
    script_never_closed=Case("a.html", lambda: b"<html><p>Fair queues<script>alert(1)", text=TEXT, lacks="alert"),
    script_alone=Case("a.html", lambda: b"<html><script>render('Fair queues')</script>", code="file_without_text"),
    frames=Case(
        "a.html", lambda: b"<html><frameset><frame src=http://127.0.0.1/></frameset>", code="file_without_text"
    ),
    pictures_alone=Case("a.html", lambda: b"<html><img src=file:///etc/passwd>", code="file_without_text"),
    entities=Case("a.html", f"<html>{LAUGHS}<p>Fair queues &b;".encode, text="queues"),
    entities_of_characters=Case("a.html", lambda: b"<html><p>&#xD800;&#0;&#x110000;Fair queues", text=TEXT),
    deep_svg=Case("a.html", lambda: b"<html><p>Fair queues" + b"<svg><g>" * 300, text=TEXT),
)
def test_page_ends_within_the_limits(case: Case) -> None:
    check(case)


@cases(
    ragged=Case("a.csv", lambda: b"plan,weight\nteam\nfree,1,2,3\n\n,,\nlast,2", text="plan: free; weight: 1; 2; 3"),
    quote_never_closed=Case(
        "a.csv", lambda: b'plan,note\nteam,"never closed\n' + b"x,y\n" * 99, text="note: never closed"
    ),
    long_quote_never_closed=Case("a.csv", lambda: b'plan,note\nteam,"' + b"x,y\n" * 2_700_000, code=DAMAGED),
    quotes_of_quotes=Case("a.csv", lambda: b'a,b\n"""x"""",y\n' + b'"' * 9_999, text="x"),
    quotes_after_signs=Case("a.csv", lambda: b',"x' * 22_000, text="x"),
    quotes_after_signs_alone=Case("a.csv", lambda: b',"' * 32_000 + b"\nFair queues,2\n", text=TEXT),
    huge_cell=Case("a.csv", lambda: b"plan,note\nteam," + b"x " * 6_000_000, code=DAMAGED),
    cell_of_a_megabyte=Case("a.csv", lambda: b"plan,note\nteam," + b"word " * 200_000, text="word"),
    many_columns=Case("a.csv", lambda: b",".join(b"c%d" % n for n in range(50_000)) + b"\n1,2\n", text="c0: 1; c1: 2"),
    long_name_of_a_column=Case(
        "a.csv", lambda: b"x" * 100_000 + b",b\n" + b"1,2\n" * 5_000, code=TOO_COMPLEX, limits=LITTLE
    ),
    quoted_line_ends=Case(
        "a.csv",
        lambda: b"plan,note\n" + b"".join(b'p%d,"two\nlines, ""quoted"""\n' % n for n in range(3_000)),
        text='plan: p2999; note: two\nlines, "quoted"',
    ),
    no_separator=Case("a.csv", lambda: b"one\ntwo\nthree\n", text="two"),
    separators_alone=Case("a.csv", lambda: b",,,\n;;;\n" * 99, text=";;;"),
    line_ends_of_old_systems=Case("a.csv", lambda: b"plan,weight\rteam,2\r", text="plan: team; weight: 2"),
    formulas=Case("a.csv", lambda: b"plan,note\nteam,\"=cmd|' /C calc'!A0\"\n", text="=cmd"),
)
def test_table_is_read_as_far_as_it_is_one(case: Case) -> None:
    check(case)


@cases(
    long_line=Case("a.txt", lambda: b"x" * 1_000_000, text="xxxx"),
    long_line_of_chinese=Case("a.txt", ("公平调度" * 50_000).encode, text="公平调度"),
    long_line_of_signs=Case("a.txt", lambda: b"-=" * 100_000, text="-="),
    million_short_lines=Case("a.txt", lambda: b"x\n" * 1_000_000, text="x\nx"),
    many_paragraphs=Case("a.txt", lambda: b"x\n\n" * 1_000_000, code=TOO_COMPLEX, limits=LITTLE),
    many_headings=Case("a.txt", lambda: b"xxx\n===\n" * 20_000 + b"end", text="end"),
    mixed_line_ends=Case("a.txt", lambda: b"one\r\ntwo\rthree\n\nfour\x0bfive\x0csix", text="four"),
    deep_quotes=Case("a.md", lambda: b">" * 50_000 + b" x", code=TOO_COMPLEX),
    deep_lists=Case("a.md", lambda: b"".join(b"  " * n + b"- x\n" for n in range(900)), code=TOO_COMPLEX),
    lists_of_twelve_levels=Case(
        "a.md", lambda: b"".join(b"  " * n + b"- level %d\n" % n for n in range(13)), text="level 12"
    ),
    quotes_of_thirty_levels=Case("a.md", lambda: b">" * 30 + b" Fair queues", text=TEXT),
    brackets=Case("a.md", lambda: b"[" * 50_000 + b"x", code=TOO_COMPLEX),
    links_in_links=Case("a.md", lambda: b"[a](" * 10_000 + b"Fair queues", text=TEXT),
    emphasis=Case("a.md", lambda: b"*a _b " * 10_000 + b"Fair queues", text=TEXT),
    backticks=Case("a.md", lambda: b"".join(b"`" * n + b" " for n in range(600)) + b"Fair queues", text=TEXT),
    fence_never_closed=Case("a.md", lambda: b"# Plans\n```python\nFair queues\n", text=TEXT),
    front_matter_never_closed=Case("a.md", lambda: b"---\ntitle: x\nFair queues\n", text=TEXT),
    table_of_many_cells=Case(
        "a.md", lambda: b"|a" * 2_000 + b"|\n" + b"|-" * 2_000 + b"|\n" + b"|\n" * 2_000 + b"\nFair queues\n", text=TEXT
    ),
    html_in_markdown=Case("a.md", lambda: b"<div>" * 5_000 + b"Fair queues", code=TOO_COMPLEX),
)
def test_long_text_is_read_within_the_limits(case: Case) -> None:
    check(case)


def noise() -> bytes:
    return random.Random(0).randbytes(5_000)


@cases(
    deep_json=Case("a.json", lambda: b"[" * 200_000, code=TOO_COMPLEX),
    deep_closed_json=Case("a.json", lambda: b'{"a":' * 90_000 + b"1" + b"}" * 90_000, code=TOO_COMPLEX),
    json_of_one_line=Case("a.json", lambda: json.dumps({"q": [TEXT] * 500}).encode(), text=TEXT),
    json_cut=Case("a.json", lambda: json.dumps({"q": [TEXT] * 500}).encode()[:-9], text=TEXT, warning="not valid JSON"),
    json_with_huge_number=Case(
        "a.json", lambda: b'{"queue": ' + b"9" * 9_000 + b"}", text="queue", warning="not valid JSON"
    ),
    json_with_key_twice=Case("a.json", lambda: b'{"q": 1, "q": "' + b"Fair queues " * 99 + b'"}', text=TEXT),
    json_lines=Case("a.jsonl", lambda: b'{"q": "Fair queues"}\n{"q": \n', text=TEXT),
    deep_xml=Case("a.xml", lambda: b"<a>" * 90_000 + b"Fair queues", text=TEXT),
    xml_entities=Case("a.xml", f"<?xml version='1.0'?>{LAUGHS}<x>&b; Fair queues</x>".encode, text="&b;"),
    external_entity=Case(
        "a.xml",
        lambda: b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n<x>&e; Fair queues</x>',
        text="&e;",
        lacks="root:",
    ),
    xml_cut=Case("a.xml", lambda: b"<?xml version='1.0'?><x><a>Fair queues</", text=TEXT),
    html_as_csv=Case("a.csv", lambda: b"<!doctype html><p>Fair queues<script>x</script>", text=TEXT, lacks="script"),
    html_as_xml=Case("a.xml", lambda: b"<?xml version='1.0'?><html><p>Fair queues</p></html>", text=TEXT, lacks="<p>"),
    text_as_html=Case("a.html", lambda: b"Fair queues", text=TEXT),
    rtf=Case("a.rtf", lambda: b"{\\rtf1 Fair queues}", code=UNKNOWN),
    rtf_as_text=Case("a.txt", lambda: b"{\\rtf1\\ansi Fair queues\\par}", code=UNKNOWN),
    postscript=Case("a.ps", lambda: b"%!PS-Adobe-3.0", code=UNKNOWN),
    notebook=Case("a.ipynb", lambda: b"{}", code=UNKNOWN),
    subtitles=Case("a.srt", lambda: b"1\n00:00:01 --> 00:00:02\nx", code=UNKNOWN),
    picture=Case("a.png", lambda: b"\x89PNG\r\n\x1a\n" + noise(), code=UNKNOWN),
    picture_as_text=Case("a.txt", lambda: b"\x89PNG\r\n\x1a\n" + noise(), code=UNKNOWN),
    jpeg_as_markdown=Case("a.md", lambda: b"\xff\xd8\xff\xe0" + noise(), code=UNKNOWN),
    packed_as_text=Case("a.csv", lambda: b"\x1f\x8b\x08" + noise(), code=UNKNOWN),
    program_as_log=Case("a.log", lambda: b"\x7fELF" + noise(), code=UNKNOWN),
    archive_as_text=Case("a.txt", lambda: b"PK\x03\x04" + noise(), code=UNKNOWN),
    noise=Case("a.txt", noise, code=UNKNOWN),
    tiff_as_text=Case("a.txt", lambda: b"II*\0" + noise(), code=UNKNOWN),
    database_as_text=Case("a.txt", lambda: b"SQLite format 3\0" + bytes(400) + noise(), code=UNKNOWN),
)
def test_content_and_name_decide_on_the_format(case: Case) -> None:
    check(case)
