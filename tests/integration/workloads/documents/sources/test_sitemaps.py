"""The connector of web sites on a real web server: sitemaps, robots.txt, pace, and hostile answers."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest

from scheduling.kit.base import Complete, DependencyRefusedError, PermanentError, Snoozed, TransientError
from tenants.context import tenant_context
from tests.integration.workloads.documents.sources.conftest import (
    documents_of,
    execute,
    items_of,
    make_source,
    publish,
    site_source,
    sitemap,
    sync,
)
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server
from workloads.documents.models import Dataset
from workloads.documents.sources import reading_xml
from workloads.documents.sources.connectors import sitemap as connector

pytestmark = pytest.mark.django_db


def refusal(dataset: Dataset, site: WebServer, **config: Any) -> str:
    with pytest.raises(PermanentError) as caught:
        sync(site_source(dataset, site, config=config))
    return caught.value.code


def asked(site: WebServer) -> list[str]:
    return [one.path for one in site.seen]


def test_pages_of_a_sitemap_become_documents(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/": "Home.", "/docs/start": "Start.", "/docs/end.html": "End."})
    ran = sync(site_source(dataset, site))
    assert ran.counts["new"] == 3
    assert set(documents_of(dataset)) == {"127.0.0.1.html", "start.html", "end.html"}
    assert {one.headers["User-Agent"] for one in site.seen} == {"jobsplatform"}


def test_pages_with_the_same_lastmod_are_not_fetched_again(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha.", "/b": "Beta."})
    source = site_source(dataset, site)
    sync(source)
    site.seen.clear()
    publish(site, {"/a": "Alpha.", "/b": "Beta, changed."})
    assert sync(source).counts["changed"] == 1
    assert asked(site) == ["/robots.txt", "/sitemap.xml", "/b"]


def test_pages_without_lastmod_are_compared_by_their_content(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha.", "/b": "Beta."}, versions=False)
    source = site_source(dataset, site)
    sync(source)
    publish(site, {"/a": "Alpha.", "/b": "Beta, changed."}, versions=False)
    site.seen.clear()
    assert sync(source).counts["changed"] == 1
    assert asked(site)[2:] == ["/a", "/b"]


def test_index_and_packed_sitemaps_are_read(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha."}, path="/one.xml")
    publish(site, {"/b": "Beta."}, path="/two.xml")
    site.answers["/two.xml.gz"] = (200, {}, gzip.compress(site.answers["/two.xml"][2]))
    index = [f"<sitemap><loc>{site.url}{path}</loc></sitemap>" for path in ("/one.xml", "/two.xml.gz")]
    site.answers["/sitemap.xml"] = (200, {}, sitemap(*index, kind="sitemapindex"))
    assert sync(site_source(dataset, site)).counts["new"] == 2


def test_sitemaps_are_found_by_robots(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha."}, path="/deep/map.xml")
    rules = f"Sitemap: https://evil.example.com/map.xml\nSitemap: {site.url}/deep/map.xml\n"
    site.answers["/robots.txt"] = (200, {}, rules.encode())
    assert sync(site_source(dataset, site)).counts["new"] == 1


def test_paths_are_included_and_excluded(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/docs/a": "Alpha.", "/docs/old/b": "Beta.", "/blog/c": "Gamma."})
    source = site_source(dataset, site, config={"include": ["/docs/"], "exclude": ["/docs/old/"]})
    sync(source)
    assert set(items_of(source)) == {"a"}


def test_robots_forbid_pages(dataset: Dataset, site: WebServer) -> None:
    site.answers["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /private/\n\nUser-agent: bad\nDisallow: /\n")
    publish(site, {"/a": "Alpha.", "/private/b": "Beta."})
    source = site_source(dataset, site)
    sync(source)
    assert set(items_of(source)) == {"a"}
    assert "/private/b" not in asked(site)


@pytest.mark.parametrize(
    "answer",
    [(200, {}, b"User-agent: *\nDisallow: /\n"), (403, {}, b""), (200, {}, b"User-agent: *\nCrawl-delay: 86400\n")],
    ids=["all", "hidden", "a day"],
)
def test_robots_that_disallow_all_are_a_named_error(dataset: Dataset, site: WebServer, answer: Any) -> None:
    site.answers["/robots.txt"] = answer
    publish(site, {"/a": "Alpha."})
    assert refusal(dataset, site) == "robots_disallows"
    assert asked(site) == ["/robots.txt"]


@pytest.mark.parametrize(
    "text",
    ["User-agent: *\nCrawl-delay: ²\n", f"User-agent: *\nCrawl-delay: {'9' * 5_000}\n", "Disallow: /x\n" * 5_001],
    ids=["no number", "long number", "many lines"],
)
def test_hostile_robots_are_a_named_error(dataset: Dataset, site: WebServer, text: str) -> None:
    site.answers["/robots.txt"] = (200, {}, text.encode())
    assert refusal(dataset, site) == "robots_invalid"


def test_robots_that_cannot_be_read_now_fail_the_attempt(dataset: Dataset, site: WebServer) -> None:
    site.answers["/robots.txt"] = (503, {}, b"")
    with pytest.raises(TransientError):
        sync(site_source(dataset, site))


def test_long_crawl_delay_gives_the_slot_back(
    dataset: Dataset, change_platform_settings: ChangePlatformSettings
) -> None:
    with web_server() as site:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{site.port}"])
        site.answers["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 100\n")
        publish(site, {"/a": "Alpha."})
        source = site_source(dataset, site)
        ran = sync(source)
        assert isinstance(ran.outcome, Snoozed)
        assert (ran.outcome.reason, 90 < ran.outcome.seconds <= 100) == ("source_pace", True)
        assert asked(site) == ["/robots.txt", "/sitemap.xml"]
        with tenant_context(dataset.tenant_id):
            source.refresh_from_db()
        later = ran.outcome.state | {"next_at": time.time()}
        assert isinstance(execute(source, job_id=source.job_id, state=later).outcome, Complete)
        assert asked(site)[2:] == ["/a"]


def test_server_that_limits_the_rate_makes_the_job_wait(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha."})
    site.answers["/a"] = (429, {"Retry-After": "30"}, b"")
    with pytest.raises(DependencyRefusedError) as caught:
        sync(site_source(dataset, site))
    assert caught.value.retry_after_seconds == 30


@pytest.mark.parametrize("status", [404, 410, 500])
def test_error_of_a_page_is_stored_with_its_item(dataset: Dataset, site: WebServer, status: int) -> None:
    publish(site, {"/a": "Alpha.", "/b": "Beta."})
    site.answers["/b"] = (status, {}, b"")
    source = site_source(dataset, site)
    ran = sync(source)
    assert (ran.counts["new"], ran.counts["failed"]) == (1, 1)
    assert items_of(source)["b"].error_code == f"http_{status}"


def test_redirect_is_followed_within_the_site_only(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha.", "/b": "Beta.", "/c": "Gamma."})
    site.answers["/moved"] = site.answers["/a"]
    site.answers["/a"] = (301, {"Location": "/moved"}, b"")
    site.answers["/b"] = (302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b"")
    site.answers["/c"] = (302, {"Location": "/c"}, b"")
    source = site_source(dataset, site)
    ran = sync(source)
    assert (ran.counts["new"], ran.counts["failed"]) == (1, 2)
    assert {items_of(source)[name].error_code for name in "bc"} == {"redirect_refused"}


def test_redirect_to_a_page_that_robots_forbid_is_refused(dataset: Dataset, site: WebServer) -> None:
    site.answers["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /private/\n")
    publish(site, {"/a": "Alpha."})
    site.answers["/a"] = (301, {"Location": "/private/a"}, b"")
    source = site_source(dataset, site)
    sync(source)
    assert items_of(source)["a"].error_code == "redirect_refused"
    assert "/private/a" not in asked(site)


def test_urls_of_other_hosts_and_private_addresses_are_left_out(dataset: Dataset, site: WebServer) -> None:
    foreign = [
        "http://169.254.169.254/latest/",
        "http://10.0.0.1/",
        "https://other.example.com/a",
        "file:///etc/passwd",
        f"http://user@127.0.0.1:{site.port}/a",
        f"http://127.0.0.1.:{site.port}/a",
        "http://[/a",
        "http://[::1]/a",
        "javascript:alert(1)",
        "",
        f"{site.url}/{'x' * 3_000}",
    ]
    lines = [f"<url><loc>{url}</loc></url>" for url in foreign]
    site.answers["/sitemap.xml"] = (200, {}, sitemap(*lines, f"<url><loc>{site.url}/a</loc></url>"))
    source = site_source(dataset, site)
    sync(source)
    assert set(items_of(source)) == {"a"}


def test_second_host_must_be_allowed_and_has_its_own_robots(
    dataset: Dataset, site: WebServer, change_platform_settings: ChangePlatformSettings
) -> None:
    with web_server() as other:
        hosts = [f"127.0.0.1:{one.port}" for one in (site, other)]
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=hosts)
        other.answers["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /private/\n")
        lines = [f"<url><loc>{other.url}{path}</loc></url>" for path in ("/a", "/private/b")]
        site.answers["/sitemap.xml"] = (200, {}, sitemap(*lines))
        source = site_source(dataset, site, config={"hosts": hosts[1:]})
        sync(source)
        assert set(items_of(source)) == {"a"}


def test_index_that_lists_itself_ends(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha."}, path="/one.xml")
    paths = ("/sitemap.xml", "/loop.xml", "/one.xml")
    index = sitemap(*(f"<sitemap><loc>{site.url}{path}</loc></sitemap>" for path in paths), kind="sitemapindex")
    site.answers["/sitemap.xml"] = site.answers["/loop.xml"] = (200, {}, index)
    ran = sync(site_source(dataset, site))
    # The loop is an index within an index, whose sitemaps are not read.
    assert (ran.counts["new"], ran.counts["is_complete"]) == (1, False)
    assert asked(site).count("/loop.xml") == asked(site).count("/sitemap.xml") == 1


def test_index_with_many_sitemaps_is_cut(dataset: Dataset, site: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(site, {"/a": "Alpha."}, path="/0.xml")
    monkeypatch.setattr(connector, "MAX_INDEX_CHARACTERS", 100)
    lines = [f"<sitemap><loc>{site.url}/{number}.xml</loc></sitemap>" for number in range(1_000)]
    site.answers["/sitemap.xml"] = (200, {}, sitemap(*lines, kind="sitemapindex"))
    ran = sync(site_source(dataset, site))
    assert not ran.counts["is_complete"]
    assert len(site.seen) < 10


def test_sitemap_with_too_many_urls_is_a_named_error(dataset: Dataset, site: WebServer) -> None:
    lines = [f"<url><loc>{site.url}/{number}</loc></url>" for number in range(connector.MAX_URLS + 1)]
    site.answers["/sitemap.xml"] = (200, {}, sitemap(*lines))
    assert refusal(dataset, site) == "sitemap_invalid"
    assert len(site.seen) == 2


def test_faulty_sitemap_of_an_index_leaves_the_listing_incomplete(dataset: Dataset, site: WebServer) -> None:
    publish(site, {"/a": "Alpha."}, path="/one.xml")
    publish(site, {"/b": "Beta."}, path="/two.xml")
    index = sitemap(
        *(f"<sitemap><loc>{site.url}{path}</loc></sitemap>" for path in ("/one.xml", "/two.xml")), kind="sitemapindex"
    )
    site.answers["/sitemap.xml"] = (200, {}, index)
    source = site_source(dataset, site)
    sync(source)
    site.answers["/two.xml"] = (404, {}, b"")
    ran = sync(source)
    assert (ran.counts["gone"], ran.counts["is_complete"]) == (0, False)
    assert len(documents_of(dataset)) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><urlset>&b;</urlset>', "xml_invalid"),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset/>'.encode("utf-16"), "xml_invalid"),
        (b"<urlset>", "xml_invalid"),
        (b"<a>" * 1_000, "xml_invalid"),
        (b"<html><body>Not found</body>", "xml_invalid"),
        (b"\x1f\x8b not gzip", "xml_invalid"),
        (gzip.compress(b" " * (reading_xml.MAX_XML_BYTES + 1)), "xml_too_large"),
        (b"<urlset>" + b"<x/>" * (reading_xml.MAX_ELEMENTS + 1) + b"</urlset>", "xml_too_large"),
    ],
    ids=["entities", "external entity", "cut", "deep", "a page", "no gzip", "bomb", "many elements"],
)
def test_hostile_sitemap_is_a_named_error(dataset: Dataset, site: WebServer, body: bytes, code: str) -> None:
    site.answers["/sitemap.xml"] = (200, {}, body)
    assert refusal(dataset, site) == code


def test_missing_sitemap_is_a_named_error(dataset: Dataset, site: WebServer) -> None:
    site.answers["/sitemap.xml"] = (404, {}, b"")
    assert refusal(dataset, site) == "sitemap_invalid"


def test_site_that_resolves_to_a_private_address_is_refused(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "scheduling.kit.http.connections.socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("10.0.0.1", 80))]
    )
    source = make_source(dataset, "sitemap", {"url": "http://docs.example.com/"})
    with pytest.raises(PermanentError) as caught:
        sync(source)
    assert caught.value.code == "address_refused"
