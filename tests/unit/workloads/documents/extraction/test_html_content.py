"""The main content of HTML pages, their listings, tables and pictures."""

from __future__ import annotations

import pytest

from workloads.documents.blocks import BlockKind
from workloads.documents.extraction.html import html_blocks

CONTENT = "<p>The dispatcher reads the queues in the order of their virtual time.</p>"


def texts_of(page: str) -> list[str]:
    return [block.text for block in html_blocks(page)]


@pytest.mark.parametrize(
    "around",
    [
        "<nav><a href=/>Home</a></nav>",
        "<footer>Imprint</footer>",
        "<div role=navigation>Home</div>",
        "<div role=search>Find</div>",
        "<div class='sphinxsidebar'><ul><li>Home</ul></div>",
        "<div class=navheader>Previous Next</div>",
        "<ol class='breadcrumb'><li>Home</ol>",
        "<span class='mw-editsection'>edit</span>",
        "<aside>Advertisement</aside>",
        "<div class=toc><ul><li><a href=#a>One</a><li><a href=#b>Two</a></ul></div>",
        "<div class='toctree-wrapper'><a href=a>One</a></div>",
        "<div role=navigation><ul class=wy-breadcrumbs><li><a href=s>View page source</a></ul></div>",
        "<div class=rst-footer-buttons><a href=a>Previous</a><a href=b>Next</a></div>",
        "<div class=navfooter><table><tr><td>Prev<td>&nbsp;<td>Next</table></div>",
        "<p hidden>secret</p>",
        "<p style='visibility:hidden'>secret</p>",
        "<p style='display: none'>secret</p>",
        "<template>later</template>",
        "<select><option>choice</select>",
    ],
)
def test_what_surrounds_the_content_is_left_out(around: str) -> None:
    assert texts_of(f"<body>{around}{CONTENT}{around}") == texts_of(CONTENT)


@pytest.mark.parametrize(
    "link",
    [
        '<a class="headerlink" href="#q">¶</a>',
        '<a class="anything" href="#q">#</a>',
        '<a href="#q">🔗</a>',
        '<a href="#q">\uf0c1</a>',
        '<a class="header-anchor" href="#q">Permalink to this heading</a>',
    ],
)
def test_heading_has_no_permalink(link: str) -> None:
    assert texts_of(f"<h1>Queues {link}</h1>{CONTENT}")[0] == "Queues"


def test_main_element_is_the_content_unless_it_is_nearly_empty() -> None:
    assert texts_of(f"<div>Banner of the site</div><main>{CONTENT}</main><div>Other sites</div>") == texts_of(CONTENT)
    assert texts_of(f"<main>x</main>{CONTENT}") == ["x", *texts_of(CONTENT)]


def test_notes_and_lists_of_the_content_stay() -> None:
    page = f"<main>{CONTENT}<div class=toc><p>How the queues are read, at length.</p></div>"
    page += "<aside class=footnote>A note.</aside><aside class=admonition>Beware.</aside></main>"
    blocks = list(html_blocks(page))
    assert [block.text for block in blocks][1:] == ["How the queues are read, at length.", "A note.", "Beware."]
    assert blocks[2].kind is BlockKind.FOOTNOTE


def test_page_of_navigation_alone_is_read_as_a_whole() -> None:
    assert texts_of("<nav><a href=a>Queues</a> <a href=b>Workers</a></nav>") == ["Queues Workers"]


def test_picture_has_its_alternative_text() -> None:
    page = "<p>See <img alt='the order of queues' src=a.png> here.</p><figure><img alt=Chart><figcaption>Waits</figure>"
    assert [" ".join(text.split()) for text in texts_of(page)] == ["See the order of queues here.", "Chart", "Waits"]


def test_listing_keeps_indentation_and_blank_lines() -> None:
    code = "def f():\n    if x:\n\n        return 1\n\ty = 2"
    page = f"<div class=highlight><pre><span></span>{code.replace('if', '<b>if</b>')}</pre></div>"
    (block,) = html_blocks(page)
    assert (block.text, block.kind) == (code, BlockKind.CODE)


def test_listing_in_a_table_of_line_numbers_has_no_numbers() -> None:
    page = "<table><tr><td class=linenos><pre>1\n2</pre></td><td class=code><pre>a\n  b</pre></td></tr></table>"
    assert texts_of(page) == ["a\n  b"]


def test_table_keeps_header_empty_cells_and_spans() -> None:
    page = """<table><caption>Plans</caption><tr><th>plan<th>weight<th>price</tr>
        <tr><td rowspan=2>team<td><td>3</tr><tr><td>1<td></tr><tr><td colspan=2>all<td>9</tr></table>"""
    caption, *rows = html_blocks(page)
    assert (caption.text, caption.kind) == ("Plans", BlockKind.CAPTION)
    assert [row.text for row in rows] == ["team |  | 3", " | 1 | ", "all |  | 9"]
    assert {row.header for row in rows} == {"plan | weight | price"}


def test_span_of_a_cell_is_bounded() -> None:
    page = "<table><tr><td colspan=1000000000>a<td rowspan=99999999999>b</tr><tr><td>c<td>d</tr></table>"
    assert max(map(len, texts_of(page))) < 5_000
