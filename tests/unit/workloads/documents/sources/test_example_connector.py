"""The connector in the documentation works as it is printed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobsplatform.settings.env import BASE_DIR
from scheduling.kit.http import Answer
from scheduling.kit.testing import make_context
from workloads.documents.sources import calls as calls_module
from workloads.documents.sources.calls import Calls
from workloads.documents.sources.connector import Connector, FetchedItem, ItemPage, ListedItem
from workloads.documents.sources.processor import DocumentSync

FEED = b"""<rss><channel><title>News</title>
<item><title>One</title><link>https://x.example/one/</link><pubDate>Mon, 01 Jan 2024</pubDate></item>
<item><title>No link</title></item>
</channel></rss>"""


def printed_connector() -> type[Connector]:
    page = (BASE_DIR / "docs/how-to/documents.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "(Connector)" in block]
    assert len(code.splitlines()) <= 40
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    found = namespace["FeedConnector"]
    assert issubclass(found, Connector)
    return found


def test_printed_connector_lists_and_fetches_the_articles_of_a_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = {"https://x.example/feed": FEED, "https://x.example/one/": b"<html>One</html>"}
    monkeypatch.setattr(calls_module, "send", lambda _, url, **__: Answer(200, (), bodies[url], url=url))
    context = make_context(DocumentSync, {"source": "00000000-0000-7000-8000-0000000000aa"})
    connector = printed_connector()({"url": "https://x.example/feed"}, Calls(context))
    item = ListedItem("https://x.example/one/", "Mon, 01 Jan 2024")
    assert connector.list_items(None) == ItemPage([item], is_complete=False)
    assert connector.fetch(item) == FetchedItem("one.html", b"<html>One</html>")
