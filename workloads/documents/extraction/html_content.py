"""What of an HTML page is its content: not scripts, hidden elements, navigation, tables of contents and permalinks."""

from __future__ import annotations

from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

# Never shown as text.
_UNSEEN = (
    "script, style, noscript, template, svg, math, canvas, iframe, object, head, select, button, input, textarea,"
    " [hidden], [aria-hidden='true'], [style*='display:none'], [style*='display: none'], [style*='visibility:hidden'],"
    " [style*='visibility: hidden']"
)
_FOOTNOTES = "aside.footnote, aside.citation, aside.footnote-list, .footnote, .footnotes, [role='doc-footnote']"
# Shown beside the content, by what their elements, roles and usual classes say (Sphinx, DocBook, MkDocs, MediaWiki,
# Docusaurus, Hugo).
_AROUND = (
    "nav, footer, [role='navigation'], [role='search'], [role='contentinfo'], .md-nav,"
    " .navheader, .navfooter, .breadcrumb, .breadcrumbs, .sphinxsidebar, .related,"
    " .rst-footer-buttons, .mw-editsection, .pagination, .skip-link, .headerlink, .header-anchor, .heading-anchor,"
    " .permalink, .linenos, .linenodiv, .lineno,"
    " aside:not(.footnote):not(.citation):not(.footnote-list):not(.admonition):not(.topic):not(.sidebar)"
)
# Tables of contents, unless the content itself is within.
_CONTENTS = (
    "[role='doc-toc'], .toc, .toctree-wrapper, .table-of-contents, .tableofcontents, #toc, #TOC, .contents.topic,"
    " .contents.local"
)
_MIN_LINK_SHARE = 0.5
_MAIN = "main, [role='main']"
# Text of a link to its own place. The last is in the private area of Font Awesome.
_PERMALINKS = frozenset(["#", "¶", "§", "🔗", "\uf0c1"])
# A marked main element with less text than this part of the page is not believed.
_MIN_MAIN_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Content:
    """The element that holds the content, and the elements in it that are left out, by their identity."""

    root: LexborNode | None
    left_out: frozenset[int]
    footnotes: frozenset[int]

    @classmethod
    def main_of(cls, tree: LexborHTMLParser) -> Content:
        """Return the main content of a page."""
        contents = frozenset(node.mem_id for node in tree.css(_CONTENTS) if _is_list_of_links(node))
        left_out = _ids(tree, f"{_UNSEEN}, {_AROUND}") | contents
        return cls(_main_element(tree), left_out, _ids(tree, _FOOTNOTES))

    @classmethod
    def all_of(cls, tree: LexborHTMLParser) -> Content:
        """Return all text of a page that can be seen."""
        return cls(tree.body, _ids(tree, _UNSEEN), _ids(tree, _FOOTNOTES))

    def is_left_out(self, node: LexborNode) -> bool:
        """Return True for an element that does not belong to the content."""
        if node.mem_id in self.left_out:
            return True
        return node.tag == "a" and node.text().strip() in _PERMALINKS

    def is_footnote(self, node: LexborNode) -> bool:
        """Return True for an element that holds footnotes."""
        return node.mem_id in self.footnotes


def _main_element(tree: LexborHTMLParser) -> LexborNode | None:
    body, found = tree.body, tree.css(_MAIN)
    if body is None or not found:
        return body
    longest = max(found, key=lambda node: len(node.text()))
    return longest if len(longest.text()) >= _MIN_MAIN_SHARE * len(body.text()) else body


def _is_list_of_links(node: LexborNode) -> bool:
    return sum(len(link.text()) for link in node.css("a")) >= _MIN_LINK_SHARE * len(node.text())


def _ids(tree: LexborHTMLParser, selector: str) -> frozenset[int]:
    return frozenset(node.mem_id for node in tree.css(selector))
