"""A MkDocs hook that shows links out of `docs/` as paths of the repository, because the site has no page for them."""

from __future__ import annotations

import posixpath
import re
from typing import Any

DOCS = "docs"
_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the page's Markdown for MkDocs, with links out of the documentation replaced."""
    return replace_outside_links(markdown, page.file.src_uri)


def replace_outside_links(markdown: str, page: str) -> str:
    """Return the text with each link to a file outside `docs/` replaced by its label and the file's path.

    ``page`` is the path of the page below `docs/`. A label that is a part of the path is not repeated.
    """
    folder = posixpath.dirname(posixpath.join(DOCS, page))

    def replace(link: re.Match[str]) -> str:
        label, target = link[1], posixpath.normpath(posixpath.join(folder, link[2]))
        if target == DOCS or target.startswith(f"{DOCS}/"):
            return link[0]
        return f"`{target}`" if label.strip("`/") in target else f"{label} (`{target}`)"

    return _LINK.sub(replace, markdown)
