"""The connector of web sites: the pages that a sitemap lists and robots.txt allows, at the pace that it asks for."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from scheduling.kit.base import PermanentError
from scheduling.kit.http import Answer, UrlRefusedError, read_target
from workloads.documents.sources.connector import Connector, FetchedItem, ItemPage, Json, ListedItem
from workloads.documents.sources.connectors.robots import Robots, delay_of
from workloads.documents.sources.reading_xml import read_elements, unpack

MAX_URLS = 50_000
MAX_URL_CHARACTERS = 2_000
# Of all sitemaps of an index: they are stored with each checkpoint.
MAX_INDEX_CHARACTERS = 100_000
MAX_DEPTH = 2
_HTML = ("text/html", "application/xhtml+xml")
_PATHS = {"type": "array", "maxItems": 50, "items": {"type": "string", "maxLength": 500, "pattern": "^/"}}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "format": "uri", "maxLength": MAX_URL_CHARACTERS},
        "include": _PATHS,
        "exclude": _PATHS,
        "hosts": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 255}},
        "delay_seconds": {"type": "number", "minimum": 0.1, "maximum": 60, "default": 1},
        "user_agent": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9]([ -~]{0,98}[!-~])?\Z",
            "default": "jobsplatform",
        },
    },
    "required": ["url"],
    "additionalProperties": False,
}


class SitemapConnector(Connector):
    """The pages of a web site. The version of a page is its ``lastmod``; without it a page is fetched in each sync."""

    name = "sitemap"
    schema = SCHEMA

    def list_items(self, cursor: Any) -> ItemPage:
        # Each entry is a sitemap and its depth; those before ``at`` are done.
        state = cursor or {"sitemaps": [[url, 0] for url in self._begin()], "at": 0}
        sitemaps, at = list(state["sitemaps"]), state["at"]
        if at >= len(sitemaps):
            return ItemPage([])
        url, depth = sitemaps[at]
        try:
            pages, children = self._read(self.calls.get(url, headers=self._headers, may_follow=self._is_own))
        except PermanentError:
            if at == 0:
                raise
            # The others are still read, but no page counts as gone.
            pages, children, is_whole = [], [], False
        else:
            is_whole = not (children and depth + 1 >= MAX_DEPTH)
        known = {one for one, _ in sitemaps}
        room = MAX_INDEX_CHARACTERS - sum(map(len, known))
        for child in dict.fromkeys(children if depth + 1 < MAX_DEPTH else ()):
            if child not in known and self._is_own(child):
                room -= len(child)
                if room < 0:
                    is_whole = False
                    break
                sitemaps.append([child, depth + 1])
        following = {"sitemaps": sitemaps, "at": at + 1} if at + 1 < len(sitemaps) else None
        return ItemPage(pages, following, is_complete=is_whole)

    def fetch(self, item: ListedItem) -> FetchedItem:
        answer = self.calls.get_file(item.key, headers=self._headers, may_follow=self._is_allowed)
        if answer.status != 200:
            raise PermanentError(f"The page was answered with {answer.status}.", code=f"http_{answer.status}")
        name = urlsplit(item.key).path.rstrip("/").rsplit("/", 1)[-1] or urlsplit(item.key).hostname or "page"
        is_html = answer.header("content-type").partition(";")[0].strip().lower() in _HTML
        suffix = ".html" if is_html and not name.lower().endswith((".html", ".htm")) else ""
        return FetchedItem(unquote(name)[-200:] + suffix, answer.body)

    def _begin(self) -> list[str]:
        """Return the sitemaps to begin with; raise PermanentError if robots.txt allows none of the wanted pages."""
        url = self.config["url"]
        rules = self._robots.rules_of(url)
        if not any(self._robots.allow(urljoin(url, path)) for path in self.config.get("include") or ["/"]):
            raise PermanentError("robots.txt disallows all pages.", code="robots_disallows")
        self.calls.delay_seconds = max(delay_of(rules, self._agent), self.config.get("delay_seconds", 1))
        if urlsplit(url).path not in ("", "/"):
            return [url]
        named = [one for one in rules.site_maps() or () if self._is_own(one)]
        return named[:50] or [urljoin(url, "/sitemap.xml")]

    def _read(self, answer: Answer) -> tuple[list[ListedItem], list[str]]:
        """Return the wanted pages and the sitemaps that a sitemap lists."""
        if answer.status != 200 or answer.is_cut:
            detail = f"{answer.url} was answered with {answer.status}, or is larger than 50 MiB."
            raise PermanentError(detail, code="sitemap_invalid")
        pages: dict[str, ListedItem] = {}
        children: list[str] = []
        for number, (name, texts) in enumerate(read_elements(unpack(answer.body), frozenset({"url", "sitemap"}))):
            if number >= MAX_URLS:
                raise PermanentError(f"{answer.url} lists more than {MAX_URLS} URLs.", code="sitemap_invalid")
            url = texts.get("loc", "").partition("#")[0]
            if name == "sitemap":
                children.append(url)
            elif self._is_wanted(url):
                pages[url] = ListedItem(url, texts.get("lastmod", ""))
        return list(pages.values()), children

    def _is_wanted(self, url: str) -> bool:
        if not self._is_allowed(url):
            return False
        path = urlsplit(url).path or "/"
        included = path.startswith(tuple(self.config.get("include") or ["/"]))
        return included and not path.startswith(tuple(self.config.get("exclude", ())))

    def _is_allowed(self, url: str) -> bool:
        """Return whether a URL is of the site and robots.txt allows it."""
        return self._is_own(url) and self._robots.allow(url)

    def _is_own(self, url: str) -> bool:
        """Return whether a URL is of the site, or of another host that the source allows."""
        try:
            return len(url) <= MAX_URL_CHARACTERS and read_target(url).authority in self._hosts
        except UrlRefusedError:
            return False

    @cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset({read_target(self.config["url"]).authority, *self.config.get("hosts", ())})

    @property
    def _agent(self) -> str:
        return str(self.config.get("user_agent", "jobsplatform"))

    @property
    def _headers(self) -> list[tuple[str, str]]:
        return [("User-Agent", self._agent)]

    @cached_property
    def _robots(self) -> Robots:
        return Robots(self.calls, self._agent, self._is_own)
